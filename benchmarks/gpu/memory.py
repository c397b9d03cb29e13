"""Watches how much of the GPU's memory is in use."""

import subprocess
import threading
from types import TracebackType
from typing import Self

MIB = 1 << 20
PAUSE = 0.01  # seconds between looks


def used_before() -> int | None:
    """Give the MiB in use, as nvidia-smi sees it; None where it does not say.

    Asked before this process touches the GPU, it is what others take.
    """
    try:
        said = subprocess.run(
            [
                "nvidia-smi",
                "--query-gpu=memory.used",
                "--format=csv,noheader,nounits",
                "--id=0",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
        return int(said.split()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


class MemoryWatch:
    """Notes the most memory in use while its block runs; a context manager."""

    def __init__(self) -> None:
        self._most = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def peak_mib(self, before: int | None) -> float:
        """Give the most MiB in use, less what was in use before."""
        return self._most / MIB - (before or 0)

    def _watch(self) -> None:
        import cupy

        while not self._stop.wait(PAUSE):
            free, whole = cupy.cuda.runtime.memGetInfo()
            self._most = max(self._most, int(whole - free))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
