"""Tell whether a chunk that Blosc compressed is whole, which its decoder does not.

Source: "Blosc Chunk Format" of C-Blosc 1: 16 bytes of header, the last four of which
are the compressed size, header included, little-endian. The decoder trusts it, and of
a file that was cut short gives whatever lies in memory behind.
"""

from pathlib import Path

HEADER_BYTES = 16
SIZE = slice(12, 16)


def is_cut_short(path: Path) -> bool:
    """Say whether a file of one chunk is shorter than it says; no if not there."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
            found = stream.seek(0, 2)
    except FileNotFoundError:
        return False
    return found < HEADER_BYTES or found < int.from_bytes(head[SIZE], "little")
