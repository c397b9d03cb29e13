"""Networks that know nothing of their tile are exported for tiles of any size."""

import pytest
from onnx import TensorProto, helper

from dep.export.axes import free_axes


def graph_of(node, *constants):
    shape = ["batch", 1, 4, 4, 4]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("x", "y")
    ]
    return helper.make_graph([node], "g", ends[:1], ends[1:], list(constants))


def ints(name, values):
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


@pytest.mark.parametrize(
    ("graph", "free"),
    [
        (graph_of(helper.make_node("Relu", ["x"], ["y"])), True),
        (graph_of(helper.make_node("Reshape", ["x", "s"], ["y"])), False),
        (
            graph_of(helper.make_node("ReduceSum", ["x", "a"], ["y"]), ints("a", [1])),
            True,
        ),
        (
            graph_of(helper.make_node("ReduceSum", ["x", "a"], ["y"]), ints("a", [2])),
            False,
        ),
        (graph_of(helper.make_node("ReduceSum", ["x"], ["y"])), False),
        (graph_of(helper.make_node("Gather", ["x", "i"], ["y"], axis=1)), True),
        (graph_of(helper.make_node("Gather", ["x", "i"], ["y"], axis=2)), False),
        (graph_of(helper.make_node("Resize", ["x", "", "s"], ["y"])), True),
        (graph_of(helper.make_node("Resize", ["x", "", "", "s"], ["y"])), False),
        (graph_of(helper.make_node("ConvTranspose", ["x", "w"], ["y"])), True),
        (
            graph_of(
                helper.make_node("ConvTranspose", ["x", "w"], ["y"], output_shape=[4])
            ),
            False,
        ),
    ],
)
def test_a_layer_that_may_know_its_tile_keeps_it(graph, free):
    assert free_axes(graph) is free
    found = [axis.dim_param for axis in graph.input[0].type.tensor_type.shape.dim[2:]]
    assert found == (["z", "y", "x"] if free else ["", "", ""])
