"""Tell the state of a tomogram's files, so that a change is noticed."""

import os
from pathlib import Path
from typing import Any

from dep.engine.readers.files import is_folder
from dep.engine.readers.names import Location, is_url
from dep.engine.readers.registry import container_of


def state_of(location: Location) -> dict[str, Any]:
    """Tell the state of a tomogram or a mask, as JSON holds it.

    Returns
    -------
    dict
        ``path``, links resolved, and of what is there ``bytes`` and ``modified_ns``:
        of a file with a dataset in it those of the file, of the folder of an OME-Zarr
        image those of all files in it, with their number as ``entries``. Of an address
        nothing else, and of what may not be looked at neither.
    """
    if is_url(location):
        return {"path": str(location)}
    state: dict[str, Any] = {"path": os.path.realpath(location)}
    path = Path(location)
    try:
        if is_folder(path):
            return state | _folder_state(path)
        found = container_of(path).stat()
    except OSError:
        return state
    return state | {"bytes": found.st_size, "modified_ns": found.st_mtime_ns}


def _folder_state(folder: Path) -> dict[str, int]:
    """Count files and folders, their bytes, and take the time of the latest change.

    That of a folder says that a chunk came or went, that of a chunk that it was written
    in place.
    """
    entries = size = changed = 0
    waiting, seen = [os.fspath(folder)], set()
    while waiting:
        inside = waiting.pop()
        own = Path(inside).stat()
        if own.st_ino in seen:  # a link that leads back
            continue
        seen.add(own.st_ino)
        changed = max(changed, own.st_mtime_ns)
        with os.scandir(inside) as found:
            for one in found:
                entries += 1
                if one.is_dir():
                    waiting.append(one.path)
                    continue
                state = one.stat(follow_symlinks=False)
                size += state.st_size
                changed = max(changed, state.st_mtime_ns)
    return {"entries": entries, "bytes": size, "modified_ns": changed}
