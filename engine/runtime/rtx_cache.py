"""Keeps what TensorRT-RTX compiles: a plan's kernels are made for the GPU on first use.

The file belongs to one plan, one kind of GPU and one version; TensorRT-RTX itself
refuses one that does not fit, and begins anew.
"""

import logging
import re
from pathlib import Path
from typing import Any

from dep.engine.atomic import atomic_path
from dep.engine.cache_folder import cache_folder
from dep.engine.errors import DepError
from dep.engine.plan_file import sha256
from dep.engine.runtime.tensorrt_api import TensorRt
from dep.kernels.cuda.device import StreamDevice

log = logging.getLogger(__name__)


class RtxCache:
    """The cache of one plan on one device.

    It is written after the first batch, when all kernels exist, and once more at the
    end if shapes came that needed others. Where it cannot be written nothing is lost
    but time.

    Attributes
    ----------
    path : Path
        The file.
    """

    def __init__(self, plan: Path, api: TensorRt, device: StreamDevice) -> None:
        kind = re.sub(r"[^A-Za-z0-9.]+", "-", f"{device.name}-{api.version}")
        self.path = cache_folder() / "rtx" / f"{sha256(plan)[:16]}-{kind}.cache"
        self._cache: Any = None
        self._written = 0
        self._kept = False

    def attach(self, config: Any) -> None:  # noqa: ANN401 - tensorrt_rtx's
        """Give the cache, with what earlier runs left, to a runtime configuration."""
        self._cache = config.create_runtime_cache()
        if self._cache is None:
            return
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            found = b""
        except OSError as error:
            log.warning("%s cannot be read (%s)", self.path, error.strerror)
            found = b""
        if found and self._cache.deserialize(found):
            self._written = len(found)
        if not config.set_runtime_cache(self._cache):
            self._cache = None

    def keep(self) -> None:
        """Write it once, after the first batch."""
        if not self._kept:
            self._kept = True
            self._write()

    def close(self) -> None:
        """Write it if it has grown, and let it go."""
        if self._kept:
            self._write()
        self._cache = None

    def _write(self) -> None:
        if self._cache is None:
            return
        found = self._cache.serialize()
        data = b"" if found is None else bytes(found)
        if len(data) <= self._written:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(data)
        except (OSError, DepError) as error:
            log.warning("%s cannot be written (%s)", self.path, error)
        else:
            self._written = len(data)
