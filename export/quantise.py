"""Give a network's convolutions 8-bit inputs and weights, as quantise/dequantise pairs.

Values become int8 with one scale for a tensor, weights with one for each output
channel; both are symmetric about 0, as TensorRT wants it. Sums, biases, softmax and
convolutions without a scale stay float32.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dep.export.errors import ExportError

LIMIT = 127  # -127 to 127: a value and its negative are equally exact
CONVOLUTIONS = ("Conv", "ConvTranspose")
ZERO = "int8_zero"
# A float32 without its sign and lowest 18 bits: exponent and five bits of mantissa, a
# scale of bins that are 3 % wide at any magnitude.
SHIFT, BINS = 18, 1 << 13
# Where values may be cut off: not below this part of the largest.
LOWEST_CUT = 1 / 256


class Magnitudes:
    """How often values of each magnitude were seen."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)

    def see(self, values: NDArray[np.float32]) -> None:
        """Count the values of a tensor."""
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32).ravel()
        bins = (bits & np.uint32(0x7FFFFFFF)) >> SHIFT
        self._counts += np.bincount(bins, minlength=BINS)

    def scale(self) -> float:
        """Return the best step between neighbouring 8-bit values.

        Values beyond 127 steps are cut off. The step is the one with the smallest
        squared error, of rounding and of cutting together: a few large values, cut,
        buy a finer step for all others.

        Raises
        ------
        ExportError
            All values were 0, or some were not numbers.
        """
        middles = _middles()
        seen = self._counts > 0
        if not np.isfinite(middles[seen]).all():
            msg = "the network computes values that are no numbers"
            raise ExportError(msg)
        seen[0] = False  # zeros, and what is as good as
        values, counts = middles[seen], self._counts[seen].astype(np.float64)
        if not len(values):
            msg = "the network computes nothing but zeros"
            raise ExportError(msg)
        cuts = values[values >= values[-1] * LOWEST_CUT]
        errors = [
            float(counts @ (values - np.minimum(values, cut)) ** 2)
            # Rounding is off by up to half a step, evenly spread: variance step^2 / 12.
            + float(counts[values <= cut].sum()) * (cut / LIMIT) ** 2 / 12
            for cut in cuts
        ]
        return float(cuts[int(np.argmin(errors))]) / LIMIT


def _middles() -> NDArray[np.float64]:
    """Return the middle of each bin; infinite where float32 ends."""
    edges = (np.arange(BINS + 1, dtype=np.uint32) << np.uint32(SHIFT)).view(np.float32)
    with np.errstate(invalid="ignore"):
        edges = np.where(np.isfinite(edges), edges, np.inf).astype(np.float64)
    middles: NDArray[np.float64] = (edges[:-1] + edges[1:]) / 2
    return middles


def quantise(model: onnx.ModelProto, scales: Mapping[str, float]) -> None:
    """Let convolutions compute with 8 bits.

    Parameters
    ----------
    model
        In float32, with weights as initializers; changed in place.
    scales
        Step of the input of each convolution to quantise, by its weight's name.

    Raises
    ------
    ExportError
        No convolution of the graph has a weight of that name.
    """
    weights = {
        item.name: numpy_helper.to_array(item)
        for item in model.graph.initializer
        if item.name in scales
    }
    nodes: list[onnx.NodeProto] = []
    made = [numpy_helper.from_array(np.zeros((), np.int8), ZERO)]
    done: set[str] = set()
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS and node.input[1] in weights:
            name = node.input[1]
            done.add(name)
            pair, scale = _rounded(node.input[0], name, scales[name])
            widen, stored = _stored(name, weights[name], node.op_type)
            nodes += [*pair, widen]
            made += [scale, *stored]
            node.input[0], node.input[1] = pair[-1].output[0], widen.output[0]
        nodes.append(node)
    if missing := sorted(set(scales) - done):
        msg = f"the graph has no convolution with the weights {', '.join(missing)}"
        raise ExportError(msg)
    kept = [item for item in model.graph.initializer if item.name not in weights]
    _replace(model.graph.node, nodes)
    _replace(model.graph.initializer, [*kept, *made])


def _rounded(
    source: str, name: str, step: float
) -> tuple[list[onnx.NodeProto], onnx.TensorProto]:
    """Return the nodes that round a convolution's input, and their scale."""
    scale = numpy_helper.from_array(np.array(step, np.float32), f"{name}_input_scale")
    middle, out = f"{name}_input_int8", f"{name}_input"
    nodes = [
        helper.make_node(
            "QuantizeLinear", [source, scale.name, ZERO], [middle], middle
        ),
        helper.make_node("DequantizeLinear", [middle, scale.name, ZERO], [out], out),
    ]
    return nodes, scale


def _stored(
    name: str, values: NDArray[np.float32], kind: str
) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return a weight in 8 bits, and the node that widens it."""
    axis = 0 if kind == "Conv" else 1  # of the output channels
    largest = np.abs(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)).max(
        1
    )
    steps = np.where(largest > 0, largest / LIMIT, 1).astype(np.float32)
    along = [-1 if k == axis else 1 for k in range(values.ndim)]
    rounded = np.rint(values / steps.reshape(along)).clip(-LIMIT, LIMIT)
    tensors = [
        numpy_helper.from_array(rounded.astype(np.int8), f"{name}_int8"),
        numpy_helper.from_array(steps, f"{name}_scale"),
        numpy_helper.from_array(np.zeros(len(steps), np.int8), f"{name}_zero"),
    ]
    out = f"{name}_dequantised"
    inputs = [tensor.name for tensor in tensors]
    return helper.make_node("DequantizeLinear", inputs, [out], out, axis=axis), tensors


def _replace(field: Any, items: Sequence[Any]) -> None:  # noqa: ANN401 - protobuf's own
    """Replace the content of a repeated field."""
    # Copied first: what the field owns goes with its content.
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
