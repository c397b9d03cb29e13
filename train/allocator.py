"""How the C library hands out memory while a processor trains."""

import ctypes
import sys

# Of malloc.h, glibc.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 256 * 2**20  # bytes asked of the kernel beyond what is needed


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next step, which needs the same.

    Without it glibc returns the large blocks of each step to the kernel and gets them
    back as new pages, which are filled with zeros first: a seventh of a step of a small
    network (docs/training.md, speed). For processes that do nothing but train: the
    setting is the process's own and stays.

    Returns
    -------
    bool
        Whether the C library was told; only glibc's has these settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = (
        (M_MMAP_MAX, 0),
        (M_TRIM_THRESHOLD, 2**31 - 1),
        (M_TOP_PAD, TOP_PAD),
    )
    return all(library.mallopt(name, value) for name, value in settings)
