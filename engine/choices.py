"""Words that callers choose from, as types."""

from collections.abc import Callable
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
RuntimePrecision = Literal["auto", "f32", "bf16"]
RuntimeName = Literal["auto", "openvino", "onnxruntime", "tensorrt"]
KernelBackend = Literal["auto", "reference", "c", "cuda"]
StatisticsKind = Literal["plain", "robust"]

# Called with (tiles done, tiles in all, stage) from the thread that called `pick`;
# stages in order: "statistics", "network", "deduplicate". What it raises ends the run.
Progress = Callable[[int, int, str], None]

# Called often from whatever thread works, with nothing; what it raises ends the work.
Check = Callable[[], None]
