"""Read the graph of an ONNX file: its operations, and the sizes of its weights.

The file is mapped; of tensors only the sizes are read, and the values of the smallest,
which say what shape operations make.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dep.engine.errors import ModelError
from dep.engine.protobuf import LENGTH, Field, fields, signed, varint

# Field numbers (onnx.proto, IR version 3 and later).
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_WORDS = 1, 3, 4
_ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 5, 8
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_INT64S = 1, 2, 4, 7
_TENSOR_NAME, _TENSOR_RAW = 8, 9
_VALUE_NAME = 1
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
# Tensors of more values than this are weights, and their values nobody's business here.
_SMALL = 16


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant of the graph.

    Attributes
    ----------
    dims : tuple of int
        Its shape.
    values : tuple of float, optional
        Of small tensors of float32 or int64; None where they were not read.
    """

    dims: tuple[int, ...]
    values: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes
    ----------
    op : str
        Its type, with its domain before it where that is not ONNX's own.
    inputs, outputs : tuple of str
        Names; an input that is left out is empty.
    ints : dict of str to tuple of int
        Attributes that are whole numbers, one or several.
    words : dict of str to str
        Attributes that are text.
    tensors : dict of str to Tensor
        Attributes that are tensors.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ints: dict[str, tuple[int, ...]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as a list of operations, in an order in which they can be computed.

    Attributes
    ----------
    nodes : tuple of Node
        The operations.
    constants : dict of str to Tensor
        Weights and other constants, by name.
    inputs, outputs : tuple of str
        Names of what goes in, weights left out, and of what comes out.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """Read the graph of an ONNX file.

    Raises
    ------
    ModelError
        It cannot be read, or its bytes are not a whole Protocol Buffers message with a
        graph.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            for one in fields(data, 0, len(data)):
                if one.number == _MODEL_GRAPH and one.wire == LENGTH:
                    return _graph(data, one)
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise ModelError(message) from error
    except (ValueError, struct.error) as error:
        message = f"{path}: not an ONNX file, or a damaged one ({error})"
        raise ModelError(message) from error
    message = f"{path}: an ONNX file without a graph"
    raise ModelError(message)


def _graph(data: mmap.mmap, whole: Field) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for one in fields(data, whole.start, whole.stop):
        if one.number == _GRAPH_NODE:
            nodes.append(_node(data, one))
        elif one.number == _GRAPH_INITIALIZER:
            name, tensor = _tensor(data, one)
            constants[name] = tensor
        elif one.number == _GRAPH_INPUT:
            inputs.append(_name(data, one))
        elif one.number == _GRAPH_OUTPUT:
            outputs.append(_name(data, one))
    # Before IR version 4 weights were listed among the inputs.
    given = tuple(name for name in inputs if name not in constants)
    return Graph(tuple(nodes), constants, given, tuple(outputs))


def _name(data: mmap.mmap, value: Field) -> str:
    """Read the name of a ValueInfoProto."""
    for one in fields(data, value.start, value.stop):
        if one.number == _VALUE_NAME:
            return _text(data, one)
    return ""


def _node(data: mmap.mmap, whole: Field) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    op = domain = ""
    node = Node("", (), ())
    for one in fields(data, whole.start, whole.stop):
        if one.number == _NODE_INPUT:
            inputs.append(_text(data, one))
        elif one.number == _NODE_OUTPUT:
            outputs.append(_text(data, one))
        elif one.number == _NODE_OP:
            op = _text(data, one)
        elif one.number == _NODE_DOMAIN:
            domain = _text(data, one)
        elif one.number == _NODE_ATTRIBUTE:
            _attribute(data, one, node)
    if domain not in ("", "ai.onnx"):
        op = f"{domain}.{op}"
    return Node(op, tuple(inputs), tuple(outputs), node.ints, node.words, node.tensors)


def _attribute(data: mmap.mmap, whole: Field, node: Node) -> None:
    """Add an attribute to those of a node."""
    name = ""
    ints: list[int] = []
    for one in fields(data, whole.start, whole.stop):
        if one.number == _ATTRIBUTE_NAME:
            name = _text(data, one)
        elif one.number in (_ATTRIBUTE_INT, _ATTRIBUTE_INTS):
            ints += _integers(data, one)
        elif one.number == _ATTRIBUTE_WORDS:
            node.words[name] = _text(data, one)
        elif one.number == _ATTRIBUTE_TENSOR:
            node.tensors[name] = _tensor(data, one)[1]
    if ints:
        node.ints[name] = tuple(ints)


def _tensor(data: mmap.mmap, whole: Field) -> tuple[str, Tensor]:
    """Read the name and size of a TensorProto, and its values where they are few."""
    name, kind = "", 0
    dims: list[int] = []
    floats: list[float] = []
    integers: list[int] = []
    raw = b""
    for one in fields(data, whole.start, whole.stop):
        few = one.stop - one.start <= 8 * _SMALL
        if one.number == _TENSOR_DIMS:
            dims += _integers(data, one)
        elif one.number == _TENSOR_TYPE:
            kind = one.value
        elif one.number == _TENSOR_NAME:
            name = _text(data, one)
        elif one.number == _TENSOR_RAW and few:
            raw = data[one.start : one.stop]
        elif one.number == _TENSOR_FLOATS and few:
            floats += _unpacked("f", data[one.start : one.stop])
        elif one.number == _TENSOR_INT64S and few:
            integers += _integers(data, one)
    values: tuple[float, ...] | None = None
    if kind == _INT64:
        values = tuple(integers or _unpacked("q", raw))
    elif kind == _FLOAT:
        values = tuple(floats or _unpacked("f", raw))
    return name, Tensor(tuple(dims), values or None)


def _unpacked(code: str, raw: bytes) -> list[float]:
    return [value for (value,) in struct.iter_unpack(f"<{code}", raw)]


def _integers(data: mmap.mmap, one: Field) -> Iterator[int]:
    """Read a repeated int64, packed or one by one."""
    if one.wire != LENGTH:
        yield signed(one.value)
        return
    position = one.start
    while position < one.stop:
        value, position = varint(data, position, one.stop)
        yield signed(value)


def _text(data: mmap.mmap, one: Field) -> str:
    return data[one.start : one.stop].decode()
