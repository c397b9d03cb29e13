"""Compare what was exported with the network it was made from."""

from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.card import ModelCard
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.engine.runtime.protocol import Runtime
from dep.export.agreement import Comparison, compare_runtimes
from dep.kernels import available_threads

if TYPE_CHECKING:
    from dep.train.deployed import DeployedNetwork

# Largest difference of scores that is float32 rounding over some thirty layers, and
# that rounding the weights to half precision makes (measured: about 1e-6 and 3e-3).
SCORE_TOLERANCE = 1e-4
HALF_SCORE_TOLERANCE = 1e-2
# Rounding every activation adds up over the layers; picks decide (measured on the
# bundled model: 0.0075 in float16, 0.035 in bfloat16).
TYPED_SCORE_TOLERANCE = {"fp16": 0.03, "bf16": 0.15}
# With 8 bits single scores at the rims of particles may be anything; what is bounded is
# the root of the mean squared difference (measured on the bundled model: 0.002), and
# the picks of more tiles.
INT8_SCORE_TOLERANCE = 0.01


def compare(
    network: "DeployedNetwork",
    path: Path,
    card: ModelCard,
    tomogram: Path | None,
    *,
    half_weights: bool = False,
) -> Comparison:
    """Run network and file on the same tiles and compare scores and picks.

    Parameters
    ----------
    network
        The reference, in torch.
    path
        The ONNX file; see `cpu_runtime`.
    card
        Its card.
    tomogram
        Whose tiles to take; None: noise of unit variance.
    half_weights
        Allow for weights rounded to half precision.
    """
    runtime = cpu_runtime(path, card)
    tolerance = _tolerance(card, half_weights=half_weights)
    compared = {
        "the network": (_torch(network), 0.0),
        "the file": (runtime, tolerance),
    }
    try:
        (comparison,) = compare_runtimes(compared, card, tomogram)
    finally:
        runtime.close()
    return comparison


def compare_plan(
    plan: Runtime,
    model: Path,
    card: ModelCard,
    tomogram: Path | None,
    network: "DeployedNetwork | None",
) -> list[Comparison]:
    """Compare a plan, the ONNX file that it was built from, and torch.

    Parameters
    ----------
    plan
        Opened; stays open.
    model
        The ONNX file; computed on the processor.
    card
        Of both.
    tomogram
        Whose tiles to take; None: noise of unit variance.
    network
        In torch, in float32; None: the other two alone.

    Returns
    -------
    list of Comparison
        Of every two.
    """
    runtime = cpu_runtime(model, card)
    # Weights may be stored in half precision, which the file itself does not tell
    # apart from others; the plan rounds them alike.
    tolerance = _tolerance(card, half_weights=True)
    compared: dict[str, tuple[Runtime, float]] = {}
    if network is not None:
        compared["torch"] = (_torch(network), 0.0)
    compared["the ONNX file"] = (runtime, tolerance)
    # In float32 GPUs multiply TF32, whose mantissa is as long as float16's.
    compared["the plan"] = (plan, max(tolerance, TYPED_SCORE_TOLERANCE["fp16"]))
    if card.precision == "int8":
        compared["the plan"] = (plan, tolerance)
    try:
        return compare_runtimes(compared, card, tomogram)
    finally:
        runtime.close()


def _torch(network: "DeployedNetwork") -> Runtime:
    # Not at import: plans are built and compared where there is no torch, too.
    import torch

    from dep.train.runtime import TorchRuntime

    return TorchRuntime(network, torch.device("cpu"), threads=available_threads())


def _tolerance(card: ModelCard, *, half_weights: bool) -> float:
    """Return how far scores may be from exact ones."""
    if card.precision == "int8":
        return INT8_SCORE_TOLERANCE
    otherwise = HALF_SCORE_TOLERANCE if half_weights else SCORE_TOLERANCE
    return TYPED_SCORE_TOLERANCE.get(card.precision, otherwise)


def cpu_runtime(path: Path, card: ModelCard) -> Runtime:
    """Open a model file with what computes its precision well on a processor.

    ONNX Runtime has no convolutions of bfloat16 there. With 8 bits OpenVINO is three
    times as fast, but where the processor has no VNNI its sums are not exact (measured
    on the bundled model: F1 agreement with exact sums 0.98, ONNX Runtime's 1.00), and
    what is exported must not depend on the machine.
    """
    opened = OpenVinoCpu if card.precision == "bf16" else OnnxRuntimeCpu
    return opened(path, card, precision="f32", threads=available_threads(), batch=1)
