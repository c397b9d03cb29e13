"""Where what can be made again is kept from run to run."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Name the folder for caches; it need not exist yet.

    ``$DEP_CACHE``, else ``dep`` in ``$XDG_CACHE_HOME`` or ``~/.cache`` (XDG Base
    Directory Specification); relative values count as unset, as the specification has
    it.
    """
    own = Path(os.environ.get("DEP_CACHE", ""))
    if own.is_absolute():
        return own
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "dep"
