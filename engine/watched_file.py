"""Watch the length of a file that is mapped: reading beyond its end kills a process."""

import os
import weakref
from pathlib import Path

from dep.engine.errors import TomogramError


class WatchedFile:
    """A mapped file, held open so that its length can be asked for again.

    Where a mapped file is cut short by another program, the system answers a read
    beyond its new end with SIGBUS, which ends the process without a word.

    Parameters
    ----------
    path : Path
        What messages call the file.
    descriptor : int
        Of the file, open; duplicated, so that the caller may close his own.
    expected : int
        Bytes from its start to the end of what is mapped.
    """

    def __init__(self, path: Path, descriptor: int, expected: int) -> None:
        self._path = path
        self._descriptor = os.dup(descriptor)
        self._expected = expected
        # Closed with the last reader too, if nobody calls `close`.
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def check(self) -> None:
        """Ask the system whether the file is still as long as expected.

        This narrows the window in which a file cut short kills the process and does
        not close it: the file may still be cut between this check and the read.

        Raises
        ------
        TomogramError
            The file is shorter by now, or its length can no longer be had.
        """
        if not self._close.alive:
            return
        try:
            found = os.fstat(self._descriptor).st_size
        except OSError as error:
            message = (
                f"{self._path}: cannot be read any more ({error.strerror}). Is the "
                "disk or the network drive it lies on still there?"
            )
            raise TomogramError(message) from error
        if found < self._expected:
            message = (
                f"{self._path}: the file was cut short while it was read: expected "
                f"{self._expected} bytes, found {found}. Is another program writing "
                "it? Wait until it is done, or copy the file again."
            )
            raise TomogramError(message)

    def close(self) -> None:
        """Let the file go; a second call does nothing."""
        self._close()
