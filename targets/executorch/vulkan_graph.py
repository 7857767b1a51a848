"""Reads the payload of a Vulkan delegate: its graph's values and calls, and the constants that they refer to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdk.errors import CheckFailed
from targets.executorch.flatbuffer import Table, root, unpack

DTYPES = {
    0: "bool", 1: "uint8", 2: "int8", 3: "int32", 4: "float16", 5: "float32", 6: "float64", 7: "int64",
}  # fmt: skip
"""VkDataType → torch's name of it."""

LARGEST = 3.4028234663852886e38
"""The largest float32."""

_NULL, _INT, _DOUBLE, _BOOL, _TENSOR, _INTS, _DOUBLES, _BOOLS, _VALUES, _STRING, _SYMINT = range(1, 12)
"""Positions in the union GraphTypes."""


@dataclass(frozen=True, slots=True)
class GpuTensor:
    """One tensor of the graph: the type it has on the GPU, extents, and its bytes when it is a constant."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview | None


@dataclass(frozen=True, slots=True)
class ValueList:
    """A list of values by their numbers."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GpuCall:
    """One call: operator such as `aten.linear.default`, and the numbers of its arguments; the last is what it makes."""

    operator: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A payload's graph."""

    values: tuple[Any, ...]
    calls: tuple[GpuCall, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(data: memoryview, blobs: Mapping[str, memoryview]) -> Graph:
    """Read a payload; constants lie in named `blobs` of the program. CheckFailed when it is damaged."""
    if len(data) < 30 or bytes(data[4:8]) != b"VH00":
        raise CheckFailed("a Vulkan payload is damaged: its header is missing")
    start, size, raw, raw_size = (int(unpack(data, at, form)) for at, form in ((10, "I"), (14, "I"), (18, "I"), (22, "Q")))
    if start + size > len(data) or raw + raw_size > len(data):
        raise CheckFailed("a Vulkan payload is damaged: it is cut short")
    graph = root(data[start : start + size])
    constants = [_constant(entry, data[raw : raw + raw_size], blobs) for entry in graph.tables(5)]
    values = tuple(_value(entry, constants) for entry in graph.tables(2))
    calls = tuple(GpuCall(entry.string(1), tuple(entry.scalars(2, "i"))) for entry in graph.tables(1))
    found = Graph(values, calls, tuple(graph.scalars(3, "I")), tuple(graph.scalars(4, "I")))
    numbers = [number for call in calls for number in call.values]
    if any(not 0 <= number < len(values) for number in (*numbers, *found.inputs, *found.outputs)):
        raise CheckFailed("a Vulkan payload is damaged: it refers to a value that is not there")
    return found


def _constant(entry: Table, raw: memoryview, blobs: Mapping[str, memoryview]) -> memoryview:
    key, offset, length = entry.string(2), entry.scalar(0, "Q"), entry.scalar(1, "Q")
    held = blobs.get(key) if key else raw[offset : offset + length]
    if held is None or len(held) < length:
        raise CheckFailed("a Vulkan payload refers to a constant that is not in the file")
    return held[:length]


def _value(entry: Table, constants: list[memoryview]) -> Any:
    kind, body = entry.scalar(0, "B"), entry.table(1)
    if kind in (0, _NULL) or body is None:
        return None
    if kind == _TENSOR:
        return _tensor(body, constants)
    readers: Mapping[int, Callable[[], Any]] = {
        _INT: lambda: int(body.scalar(0, "q")), _DOUBLE: lambda: _bounded(float(body.scalar(0, "d"))),
        _BOOL: lambda: bool(body.scalar(0, "?")), _INTS: lambda: [int(each) for each in body.scalars(0, "q")],
        _DOUBLES: lambda: [float(each) for each in body.scalars(0, "d")],
        _BOOLS: lambda: [bool(each) for each in body.scalars(0, "?")],
        _VALUES: lambda: ValueList(tuple(body.scalars(0, "i"))), _STRING: lambda: body.string(0),
    }  # fmt: skip
    if kind not in readers:
        raise CheckFailed(f"a Vulkan payload holds a value of sort {kind}, which cannot be read")
    return readers[kind]()


def _bounded(value: float) -> float:
    """A number of the graph: infinity is written as the largest double, which no float holds."""
    return math.copysign(math.inf, value) if abs(value) > LARGEST else value


def _tensor(body: Table, constants: list[memoryview]) -> GpuTensor:
    kind, constant = body.scalar(0, "b"), body.scalar(2, "i")
    if kind not in DTYPES or constant >= len(constants):
        raise CheckFailed("a Vulkan payload is damaged: a tensor's type or constant is unknown")
    return GpuTensor(DTYPES[kind], tuple(body.scalars(1, "I")), constants[constant] if constant >= 0 else None)
