"""How much memory this process has taken."""

import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

STATUS = Path("/proc/self/status")
# proc(5): writing 5 resets the peak resident set size to the current one.
CLEAR_REFS, RESET_PEAK = Path("/proc/self/clear_refs"), "5"

Source = Literal["picking", "process", "not known"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process that opens a model and picks one tomogram, bytes.

    Attributes
    ----------
    opening : int or None
        The most until the model was open.
    opened : int or None
        With the model open.
    peak : int or None
        The most while picking.
    source : {"picking", "process", "not known"}
        What `peak` is of: of picking alone, or, where the system cannot tell, of the
        process since its start.
    """

    opening: int | None = None
    opened: int | None = None
    peak: int | None = None
    source: Source = "not known"

    @property
    def above(self) -> int | None:
        """What picking took above the opened model."""
        if self.peak is None or self.opened is None:
            return None
        return max(0, self.peak - self.opened)

    def to_dict(self) -> dict[str, int | str | None]:
        """Give plain values that JSON can hold."""
        return {**asdict(self), "above_opened": self.above}


class MemoryWatch:
    """Watches from when the model is open until the tomogram is picked."""

    def __init__(self) -> None:
        self._opening = peak()
        # Where the system does not say what is taken now, the most so far stands in.
        self._opened = resident() or self._opening
        self._reset = reset_peak()

    def ended(self) -> Memory:
        """Say what was taken since."""
        most = peak()
        if most is None:
            return Memory()
        source: Source = "picking" if self._reset else "process"
        return Memory(self._opening, self._opened, most, source)


def resident() -> int | None:
    """Return the bytes of memory that this process occupies now, or None."""
    return _status("VmRSS")


def peak() -> int | None:
    """Return the most bytes of memory that this process has occupied, or None.

    Since its start, or since `reset_peak`.
    """
    mark = _status("VmHWM")
    if mark is not None:
        return mark
    if find_spec("resource") is None:  # Windows has none
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # getrusage(2): KiB


def reset_peak() -> bool:
    """Forget the most so far; tell whether the system does."""
    if _status("VmHWM") is None:
        return False
    try:
        CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _status(name: str) -> int | None:
    """Read a line of /proc/self/status, such as ``VmHWM:   1024 kB``."""
    try:
        text = STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None
