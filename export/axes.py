"""Let an exported network take tiles of any size, where no layer knows its tile."""

from collections.abc import Mapping
from typing import Any

from onnx import GraphProto, NodeProto, ValueInfoProto, numpy_helper

CHANNELS = 1  # their axis
AXES = ("z", "y", "x")
# They compute a voxel in the same way wherever it lies and whatever the size is.
LOCAL = frozenset(
    {
        *("Conv", "ConvTranspose", "AveragePool", "BatchNormalization"),
        *("Add", "Mul", "Concat", "Cast", "Identity"),
        *("Relu", "Elu", "Sigmoid", "Softmax"),
        *("QuantizeLinear", "DequantizeLinear"),
    }
)
SIZES = 3  # of the inputs of a Resize, what comes after its scales


def free_axes(graph: GraphProto) -> bool:
    """Turn the edges of input and output into symbols, if every layer allows it.

    The exporter traces a network with one tile and writes its edges down, although
    convolutions, pooling and the rest do not depend on them. A layer that may is not
    touched, nor is the graph then.

    Parameters
    ----------
    graph : GraphProto
        Of one input and one output, (b, C, z, y, x); changed in place.

    Returns
    -------
    bool
        Whether the axes are free now.
    """
    constants = {
        item.name: numpy_helper.to_array(item).tolist()
        for item in graph.initializer
        if len(item.dims) <= 1
    }
    if not all(_local(node, constants) for node in graph.node):
        return False
    for value in (*graph.input, *graph.output):
        _name_axes(value)
    del graph.value_info[:]  # shapes inside, for that one tile
    return True


def _local(node: NodeProto, constants: Mapping[str, Any]) -> bool:
    if node.op_type == "Gather":  # of channels
        return any(one.name == "axis" and one.i == CHANNELS for one in node.attribute)
    if node.op_type == "ReduceSum":  # over channels
        return len(node.input) > 1 and constants.get(node.input[1]) == [CHANNELS]
    if node.op_type == "Resize":
        return len(node.input) <= SIZES or not node.input[SIZES]
    if node.op_type == "ConvTranspose":
        return all(one.name != "output_shape" for one in node.attribute)
    return node.op_type in LOCAL


def _name_axes(value: ValueInfoProto) -> None:
    shape = value.type.tensor_type.shape.dim
    for axis, name in zip(shape[2:], AXES, strict=True):
        axis.dim_param = name
