"""Step through a Protocol Buffers message field by field, without its schema."""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

# Wire types (protobuf.dev, encoding).
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

Bytes = bytes | mmap.mmap


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : int
        As the schema counts them.
    wire : int
        How it is written: `VARINT`, `FIXED64`, `LENGTH` or `FIXED32`.
    value : int
        Of a varint, unsigned; 0 for the other wire types.
    start, stop : int
        Where its bytes lie, without key and length.
    """

    number: int
    wire: int
    value: int
    start: int
    stop: int


def fields(data: Bytes, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message in ``data[start:stop]``, in their order.

    What a field holds is stepped over, so that a mapped file is read only where its
    keys are.

    Raises
    ------
    ValueError
        The bytes are not a whole message; says where it breaks.
    """
    position = start
    while position < stop:
        key, position = varint(data, position, stop)
        number, wire = key >> 3, key & 7
        if number == 0:
            message = f"field number 0 at byte {position}"
            raise ValueError(message)
        first, value = position, 0
        if wire == LENGTH:
            length, first = varint(data, position, stop)
            position = first + length
        elif wire == VARINT:
            value, position = varint(data, position, stop)
        elif wire == FIXED64:
            position += 8
        elif wire == FIXED32:
            position += 4
        else:
            message = f"wire type {wire} at byte {position}"
            raise ValueError(message)
        if position > stop:
            message = f"field {number} ends {position - stop} bytes too far"
            raise ValueError(message)
        yield Field(number, wire, value, first, position)


def varint(data: Bytes, position: int, stop: int) -> tuple[int, int]:
    """Read a varint; give its value, unsigned, and where it ends.

    Raises
    ------
    ValueError
        It does not end before `stop`, or is longer than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position >= stop:
            message = "the file ends inside a number"
            raise ValueError(message)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    message = f"a number longer than 64 bits at byte {position}"
    raise ValueError(message)


def signed(value: int) -> int:
    """Read a varint's value as a signed 64-bit number (int64, int32, enum)."""
    return value - (1 << 64) if value >> 63 else value
