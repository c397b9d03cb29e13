"""TensorRT behind one adapter: `tensorrt` 10 and 11, and `tensorrt_rtx`.

They have one API with small differences, which are settled here. The only module that
imports them, and only when asked: none is needed to pick on a processor.
"""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args

from dep.engine.errors import DeviceError

TensorRtName = Literal["tensorrt", "tensorrt_rtx"]

_INSTALL = {
    "tensorrt": "pip install 'dep[gpu]', which brings tensorrt",
    "tensorrt_rtx": "pip install 'dep[gpu-rtx]', which brings tensorrt-rtx",
}
# 10.1 brought memory of the caller's, sized for the shapes at hand.
OLDEST = {"tensorrt": (10, 1), "tensorrt_rtx": (1, 0)}


@dataclass(frozen=True)
class TensorRt:
    """An installed TensorRT.

    Attributes
    ----------
    name : {"tensorrt", "tensorrt_rtx"}
        Which of the two.
    version : str
        Its own; a plan is tied to it.
    module
        The Python module, as it came.
    """

    name: TensorRtName
    version: str
    module: Any

    @property
    def is_rtx(self) -> bool:
        """Plans are for compute capabilities, not for the GPU that is there."""
        return self.name == "tensorrt_rtx"

    def logger(self) -> Any:  # noqa: ANN401 - a class of the module's
        """Make a logger that keeps warnings and errors in `lines`, and says nothing."""
        severities = self.module.ILogger.Severity

        class Logger(self.module.ILogger):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.lines: list[str] = []

            def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
                if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                    self.lines.append(message)

        return Logger()

    def network_flags(self) -> int:
        """Ask for a strongly typed network: the only kind from TensorRT 11 on."""
        flags = self.module.NetworkDefinitionCreationFlag
        typed = getattr(flags, "STRONGLY_TYPED", None)
        return 0 if typed is None else 1 << int(typed)


def load_tensorrt(name: TensorRtName | Literal["auto"] = "auto") -> TensorRt:
    """Import a TensorRT.

    Parameters
    ----------
    name : {"auto", "tensorrt", "tensorrt_rtx"}
        `auto` takes `tensorrt` where it is installed, since it is the faster on data
        centre GPUs, else `tensorrt_rtx`.

    Raises
    ------
    DeviceError
        It is not installed, does not load or is too old; says what to install.
    """
    names = get_args(TensorRtName)
    if name == "auto":
        there = [one for one in names if find_spec(one) is not None]
        if not there:
            message = (
                "TensorRT is not installed: "
                f"{_INSTALL['tensorrt']}, or {_INSTALL['tensorrt_rtx']}"
            )
            raise DeviceError(message)
        name = there[0]
    if name not in names:
        message = f"expected one of auto, {', '.join(names)}, found {name!r}"
        raise DeviceError(message)
    if find_spec(name) is None:
        message = f"{name} is not installed: {_INSTALL[name]}"
        raise DeviceError(message)
    try:
        module = importlib.import_module(name)
        version = str(module.__version__)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        message = f"{name} is installed but does not load ({error}); {_INSTALL[name]}"
        raise DeviceError(message) from error
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if number < OLDEST[name]:
        oldest = ".".join(map(str, OLDEST[name]))
        message = f"{name} {version} is too old: expected {oldest} or newer"
        raise DeviceError(message)
    chosen: TensorRtName = "tensorrt" if name == "tensorrt" else "tensorrt_rtx"
    return TensorRt(chosen, version, module)
