"""The parts of the check, in the order they run, and their shares of the time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes
    ----------
    name
        "kernels"; those that belong together begin alike, "network-torch".
    share
        Of the time, in relation to the others'. What a part leaves over goes to those
        after it.
    call
        "module:function", called with a `Context` in a process of its own.
    """

    name: str
    share: float
    call: str


PARTS = (
    Part("environment", 20, "gpu.environment:run"),
    Part("kernels", 45, "gpu.kernels:run"),
    Part("tests", 75, "gpu.device_tests:run"),
    Part("network-torch", 50, "gpu.network_torch:run"),
    Part("pipeline-torch", 45, "gpu.pipeline:with_torch"),
    Part("training", 50, "gpu.training:run"),
    Part("network-compiled", 30, "gpu.network_torch:compiled"),
    # Here what TensorRT and ONNX Runtime compute is made: it is costly, and only they
    # need it.
    Part("models", 55, "gpu.models:run"),
    Part("network-onnxruntime", 30, "gpu.network_files:with_onnxruntime"),
    Part("network-onnxruntime-options", 20, "gpu.onnxruntime_options:run"),
    Part("network-tensorrt", 40, "gpu.network_files:with_tensorrt"),
    Part("pipeline-onnxruntime", 30, "gpu.pipeline:with_onnxruntime"),
    Part("pipeline-tensorrt", 30, "gpu.pipeline:with_tensorrt"),
    Part("sanitizer", 30, "gpu.device_tests:sanitizer"),
)


def choose(words: str | None, parts: tuple[Part, ...] = PARTS) -> tuple[Part, ...]:
    """Take the parts that are named: "kernels,network" takes "network-torch" too.

    Raises
    ------
    ValueError
        A word names no part.
    """
    if words is None:
        return parts
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if not any(_named(part, word) for part in parts):
            known = ", ".join(part.name for part in parts)
            message = f"--only: there is no part {word!r}; the parts are {known}"
            raise ValueError(message)
    if not wanted:
        message = "--only: expected names of parts, found none"
        raise ValueError(message)
    return tuple(part for part in parts if any(_named(part, word) for word in wanted))


def _named(part: Part, word: str) -> bool:
    return part.name == word or part.name.startswith(word + "-")
