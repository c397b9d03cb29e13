"""Count the multiply-adds of a network, from its ONNX file."""

import math
from pathlib import Path

from dep.engine.model_file import ONNX_SUFFIX
from dep.engine.onnx_graph import Graph, Node, Tensor, read_graph

Edges = tuple[int, ...]

# Value by value, with what does not depend on the tile spread over it.
_BY_VOXEL = frozenset(
    [
        *("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Neg", "Abs", "Sqrt", "Exp"),
        *("Relu", "Elu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Cast", "Identity"),
        *("BatchNormalization", "QuantizeLinear", "DequantizeLinear"),
    ]
)
# Along the axis of the channels, or value by value.
_BY_CHANNEL = frozenset(
    ["Concat", "Gather", "Softmax", "ReduceSum", "ReduceMax", "ReduceMean"]
)
_POOLS = frozenset(("AveragePool", "MaxPool"))
_SAME_SIZE = frozenset(("Cast", "Identity", "QuantizeLinear", "DequantizeLinear"))
_CHANNELS = (1, -4)  # the axis, of (b, c, z, y, x)


class _UnknownError(Exception):
    """The graph does what is not counted here."""


def multiply_adds(path: Path, tile: tuple[int, int, int]) -> int | None:
    """Count the multiply-adds of a network's convolutions for one tile.

    Convolutions and transposed convolutions count, whose weights are constants; all
    else (activations, pooling, softmax, sums) is a few operations for each value and
    does not. What does not depend on the tile is computed once, when a model is
    opened, and does not count either. Each product of a weight and a value counts,
    those with the zeros around a tile too.

    Parameters
    ----------
    path : Path
        The model file.
    tile : (int, int, int)
        z, y, x in voxels.

    Returns
    -------
    int or None
        None where it cannot be known: for plans, and for networks with operations
        that dep's own have not.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    if path.suffix != ONNX_SUFFIX:
        return None
    graph = read_graph(path)
    if len(graph.inputs) != 1:
        return None
    try:
        return _count(graph, tile)
    except _UnknownError:
        return None


def _count(graph: Graph, tile: tuple[int, int, int]) -> int:
    """Follow the tile's edges through the graph."""
    sizes: dict[str, Edges] = {graph.inputs[0]: tile}  # of what depends on the tile
    constants = dict(graph.constants)
    total = 0
    for node in graph.nodes:
        depends = [sizes[name] for name in node.inputs if name in sizes]
        if not depends:
            _constant(node, constants)
            continue
        if any(one != depends[0] for one in depends):
            raise _UnknownError
        edges = depends[0]
        if node.op in ("Conv", "ConvTranspose"):
            weight = _weight(node, constants)
            made = (
                _convolved(node, edges, weight.dims[2:])
                if node.op == "Conv"
                else _spread(node, edges, weight.dims[2:])
            )
            # Each voxel of the smaller side meets each weight once (of one group).
            total += math.prod(made if node.op == "Conv" else edges) * math.prod(
                weight.dims
            )
        elif node.op in _POOLS:
            made = _convolved(node, edges, node.ints["kernel_shape"])
        elif node.op == "Resize":
            made = _resized(node, edges, constants)
        elif node.op == "Slice":
            made = _cut(node, edges, constants)
        elif node.op == "Pad":
            made = _padded(node, edges, constants)
        elif node.op in _BY_VOXEL or _is_by_channel(node, constants):
            made = edges
        else:
            raise _UnknownError
        sizes.update(dict.fromkeys(node.outputs, made))
    return total


def _constant(node: Node, constants: dict[str, Tensor]) -> None:
    """Note what a node makes of constants, as far as weights come of it."""
    if node.op == "Constant" and "value" in node.tensors:
        constants[node.outputs[0]] = node.tensors["value"]
    elif node.op in _SAME_SIZE and node.inputs[0] in constants:
        constants[node.outputs[0]] = Tensor(constants[node.inputs[0]].dims)


def _weight(node: Node, constants: dict[str, Tensor]) -> Tensor:
    """Give a convolution's weights (out, in, z, y, x), or (in, out, z, y, x)."""
    weight = constants.get(node.inputs[1])
    if weight is None or len(weight.dims) != 5:
        raise _UnknownError
    return weight


def _convolved(node: Node, edges: Edges, kernel: Edges) -> Edges:
    """Give the edges after a convolution or pooling."""
    pads, strides, dilations = _window(node)
    if node.ints.get("ceil_mode", (0,)) != (0,):
        raise _UnknownError
    return tuple(
        (edge + before + after - (width - 1) * apart - 1) // stride + 1
        for edge, before, after, width, apart, stride in zip(
            edges, pads[:3], pads[3:], kernel, dilations, strides, strict=True
        )
    )


def _spread(node: Node, edges: Edges, kernel: Edges) -> Edges:
    """Give the edges after a transposed convolution."""
    pads, strides, dilations = _window(node)
    if "output_shape" in node.ints:
        raise _UnknownError
    more = node.ints.get("output_padding", (0, 0, 0))
    return tuple(
        (edge - 1) * stride - before - after + (width - 1) * apart + extra + 1
        for edge, before, after, width, apart, stride, extra in zip(
            edges, pads[:3], pads[3:], kernel, dilations, strides, more, strict=True
        )
    )


def _window(node: Node) -> tuple[Edges, Edges, Edges]:
    """Give pads (before, then after), strides and dilations."""
    if node.words.get("auto_pad", "NOTSET") != "NOTSET":
        raise _UnknownError
    ones = (1, 1, 1)
    return (
        node.ints.get("pads", (0,) * 6),
        node.ints.get("strides", ones),
        node.ints.get("dilations", ones),
    )


def _resized(node: Node, edges: Edges, constants: dict[str, Tensor]) -> Edges:
    """Give the edges after an interpolation with constant factors."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    factors = constants[name].values if name in constants else None
    if factors is None or len(factors) != 5:
        raise _UnknownError
    return tuple(
        math.floor(edge * factor)
        for edge, factor in zip(edges, factors[2:], strict=True)
    )


def _values(
    node: Node, place: int, constants: dict[str, Tensor]
) -> tuple[float, ...] | None:
    """Give the values of a node's constant input; None where it is left out."""
    name = node.inputs[place] if len(node.inputs) > place else ""
    if not name:
        return None
    found = constants.get(name, Tensor(())).values
    if found is None:
        raise _UnknownError
    return found


def _cut(node: Node, edges: Edges, constants: dict[str, Tensor]) -> Edges:
    """Give the edges after taking a part along z, y or x, one step at a time."""
    starts, ends, axes, steps = (
        _values(node, place, constants) for place in range(1, 5)
    )
    if starts is None or ends is None or axes is None or set(steps or (1,)) != {1}:
        raise _UnknownError
    made = list(edges)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        place = int(axis) - 2 if axis >= 0 else int(axis) + 3
        if place < 0:
            raise _UnknownError
        length = made[place]
        first, last = (
            int(min(length, max(0, one + length * (one < 0)))) for one in (start, end)
        )
        made[place] = max(0, last - first)
    return tuple(made)


def _padded(node: Node, edges: Edges, constants: dict[str, Tensor]) -> Edges:
    """Give the edges after adding voxels around."""
    pads = _values(node, 1, constants)
    if pads is None or len(pads) != 10 or _values(node, 3, constants) is not None:
        raise _UnknownError
    return tuple(
        edge + int(before) + int(after)
        for edge, before, after in zip(edges, pads[2:5], pads[7:], strict=True)
    )


def _is_by_channel(node: Node, constants: dict[str, Tensor]) -> bool:
    """Tell whether a node leaves z, y and x as they are."""
    if node.op not in _BY_CHANNEL:
        return False
    axes: tuple[float, ...] | None = node.ints.get("axis", node.ints.get("axes"))
    if axes is None and len(node.inputs) > 1:
        axes = constants.get(node.inputs[1], Tensor(())).values
    kept = node.ints.get("keepdims", (1,)) == (1,)
    return kept and axes is not None and all(axis in _CHANNELS for axis in axes)
