"""Let go of pages of a mapped file that were read: mapped pages count as memory used.

As long as memory is free, the system leaves every page of a mapped file in the process
that read it, so that a pass over a tomogram ends with the whole of it resident.
"""

import contextlib
import mmap

# Not everywhere: Windows has no advice at all.
DONT_NEED: int | None = getattr(mmap, "MADV_DONTNEED", None)
# Bytes that are let go or kept as one. A multiple of all page sizes: a part of a large
# page (2 MiB) cannot be let go without the system mapping the rest anew.
GRAIN = max(2 << 20, mmap.PAGESIZE)


class MappedPages:
    """The pages of planes in a mapped file.

    Pages that were let go are read again from the file (or the system's cache of it)
    when a view of them is used: letting go costs time at most, never a voxel.

    Parameters
    ----------
    mapping : mmap.mmap
        Of a file, and shared with it: of a private map letting go would lose what was
        written.
    offset : int
        Bytes before the first plane.
    plane : int
        Bytes of a plane.
    """

    def __init__(self, mapping: mmap.mmap, offset: int, plane: int) -> None:
        self._mapping = mapping
        self._offset = offset
        self._plane = plane

    def keep(self, z0: int, z1: int) -> None:
        """Let go of all but planes z0 to z1 - 1 and up to `GRAIN` bytes around them."""
        before = (self._offset + z0 * self._plane) // GRAIN * GRAIN
        after = -(-(self._offset + z1 * self._plane) // GRAIN) * GRAIN
        self._let_go(0, before)
        self._let_go(after, len(self._mapping) - after)

    def _let_go(self, start: int, length: int) -> None:
        if DONT_NEED is None or length <= 0:
            return
        # Refused for pages that are locked into memory, which is as well.
        with contextlib.suppress(OSError):
            self._mapping.madvise(DONT_NEED, start, length)
