"""What machine figures were measured on."""

import os
import platform
from dataclasses import asdict, dataclass

from dep import __version__
from dep.engine.processor import CPUINFO
from dep.kernels import available_threads


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the software, as far as they bear on speed.

    Attributes
    ----------
    processor : str
        Its name.
    cores : int
        That this process may use.
    system, python, dep : str
        Versions.
    load : float or None
        How many programs were waiting for a core or had one, in the last minute before
        measuring began. None where the system does not tell.
    """

    processor: str
    cores: int
    system: str
    python: str
    dep: str
    load: float | None

    def to_dict(self) -> dict[str, str | float | None]:
        """Give plain values that JSON can hold."""
        return asdict(self)


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    return Machine(
        processor=_processor(),
        cores=available_threads(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        dep=__version__,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def _processor() -> str:
    """Name the processor: Linux says what people call it."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()
