"""Reads an XNNPACK payload: each operator with a weight, its data type, granularity and activations."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.errors import CheckFailed
from targets.executorch.flatbuffer import Table, root, unpack

NODES = (
    "add", "fully_connected", "softmax", "sigmoid", "transpose", "clamp", "conv2d", "div", "resize_bilinear", "pad",
    "avg_pool", "minimum", "depthwise", "max_pool", "multiply", "subtract", "floor", "convert", "global_avg_pool", "reshape",
    "argmax_pool", "square_root", "ceiling", "hardswish", "leaky_relu", "maximum", "negate", "square", "elu", "abs", "prelu",
    "concatenate2", "concatenate3", "concatenate4", "slice", "attention", "batch_matmul", "concatenate5",
    "conv_transpose2d", "reciprocal_square_root", "log", "gelu", "tanh", "exp", "sin", "copy", "cos",
)  # fmt: skip
"""Names of the union XNodeUnion, in its order (from 1)."""

WEIGHTED = {2: "fully_connected", 7: "conv2d", 13: "depthwise", 39: "conv_transpose2d"}
"""Position in the union XNodeUnion → operator with a filter."""

_FIELDS = {2: (0, 1, 3), 7: (15, 16, 18), 13: (15, 16, 18), 39: (15, 16, 18)}
"""Position in the union → fields of the ids of its input, filter and output."""

DATATYPES = {
    1: "fp32", 2: "fp16", 3: "qint8", 4: "quint8", 5: "qint32", 6: "qcint8", 7: "qcint32", 8: "qcint4", 9: "qdint8",
    10: "qbint4", 11: "qpint8", 12: "int32", 13: "pfp32", 14: "bf16",
}  # fmt: skip
"""XNNDatatype → its name."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """One operator with a weight: data types of input, filter and output, and the filter's stored parts.

    `group` counts the weights of one scale (0: per channel or none). `filter` and `scale` are keys of named
    blobs.
    """

    operator: str
    input: str
    weight: str
    output: str
    group: int
    dims: tuple[int, ...]
    filter: str
    scale: str


def read_payload(data: memoryview) -> dict[int, Weighted]:
    """Return the operators with constant weights by their position in the payload; CheckFailed when damaged."""
    graph = _graph(data)
    values = {tensor.scalar(6, "I"): (tensor, params) for tensor, params in map(_value, graph.tables(2))}
    blobs = [entry.string(2) for entry in graph.tables(8)]
    found = {}
    for index, node in enumerate(graph.tables(1)):
        kind, body = node.scalar(0, "B"), node.table(1)
        if kind in WEIGHTED and body is not None:
            ids = [body.scalar(field, "I") for field in _FIELDS[kind]]
            if any(i not in values for i in ids):
                raise CheckFailed("an XNNPACK payload is damaged: an operator refers to a value that is not there")
            source, weight, output = (values[i] for i in ids)
            if weight[0].scalar(3, "I"):
                found[index] = _weighted(WEIGHTED[kind], source[0], weight, output[0], blobs)
    return found


def operator_names(data: memoryview) -> tuple[str, ...]:
    """Return the name of every operator of a payload; one that is newer than this table by its number."""
    kinds = [node.scalar(0, "B") for node in _graph(data).tables(1)]
    return tuple(NODES[kind - 1] if 0 < kind <= len(NODES) else f"node{kind}" for kind in kinds)


def _graph(data: memoryview) -> Table:
    if len(data) < 30 or bytes(data[4:8]) != b"XH00":
        raise CheckFailed("an XNNPACK payload is damaged: its header is missing")
    start, size = int(unpack(data, 10, "I")), int(unpack(data, 14, "I"))
    if start + size > len(data):
        raise CheckFailed("an XNNPACK payload is damaged: it is cut short")
    return root(data[start : start + size])


def _value(value: Table) -> tuple[Table, Table]:
    """The tensor of a value and the table that holds its quantization (itself when it has none)."""
    body = value.table(1)
    if body is None:
        raise CheckFailed("an XNNPACK payload is damaged: a value is empty")
    if value.scalar(0, "B") == 1:
        return body, body
    tensor = body.table(0)
    if tensor is None:
        raise CheckFailed("an XNNPACK payload is damaged: a quantized value has no tensor")
    return tensor, body


def _datatype(tensor: Table) -> str:
    return DATATYPES.get(tensor.scalar(0, "h"), "unknown")


def _weighted(operator: str, source: Table, weight: tuple[Table, Table], output: Table, blobs: list[str]) -> Weighted:
    tensor, quantized = weight
    kind = quantized.scalar(1, "B") if quantized is not tensor else 0
    params = quantized.table(2) if kind else None
    group, scale = 0, 0
    if params is not None and kind == 4:
        group, scale = params.scalar(2, "i"), params.scalar(4, "I")
    elif params is not None and kind == 1:
        scale = params.scalar(2, "I")
    return Weighted(
        operator, _datatype(source), _datatype(tensor), _datatype(output), group, tuple(tensor.scalars(2, "I")),
        _key(blobs, tensor.scalar(3, "I")), _key(blobs, scale) if scale else "",
    )  # fmt: skip


def _key(blobs: list[str], index: int) -> str:
    if index >= len(blobs):
        raise CheckFailed("an XNNPACK payload is damaged: it refers to a constant that is not there")
    return blobs[index]
