"""Keeps what `tensorrt` measures while it builds: the next plan takes less time."""

import logging
import re
from pathlib import Path
from typing import Any

from dep.engine.atomic import atomic_path
from dep.engine.cache_folder import cache_folder
from dep.engine.errors import DepError
from dep.engine.runtime.tensorrt_api import TensorRt

log = logging.getLogger(__name__)


def default_timing_cache(api: TensorRt, gpu: str | None) -> Path | None:
    """Name the file for a TensorRT on a GPU; None where nothing is measured.

    Parameters
    ----------
    api
        `tensorrt_rtx` measures nothing when it builds.
    gpu
        Name of the GPU; None where it is not known: TensorRT itself refuses what was
        measured on another.
    """
    if api.is_rtx:
        return None
    kind = re.sub(r"[^A-Za-z0-9.]+", "-", f"{api.version}-{gpu or 'gpu'}")
    return cache_folder() / "timing" / f"{api.name}-{kind}.cache"


def attach(config: Any, path: Path) -> None:  # noqa: ANN401 - tensorrt's
    """Give a build what earlier ones measured on this GPU with this version."""
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        kept = b""
    except OSError as error:
        # Nothing is lost but time, as where it cannot be written.
        log.warning("%s: the timing cache cannot be read (%s)", path, error.strerror)
        kept = b""
    if not config.set_timing_cache(config.create_timing_cache(kept), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def keep(config: Any, path: Path) -> None:  # noqa: ANN401 - tensorrt's
    """Write what is known after a build; failing that, nothing is lost but time."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(bytes(cache.serialize()))
    except (OSError, DepError) as error:
        log.warning("%s: the timing cache cannot be written (%s)", path, error)
