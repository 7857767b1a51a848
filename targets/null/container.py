"""The bytes of a null artifact: one line per tensor, then the tensors, so that sizes simply add up.

    snugfit-null 1 <bytes of the lines, twelve digits>\\n
    {"graph": …}\\n
    {"tensor": name, …}\\n   one per weight or other tensor, in the order of their data
    data, without padding

A line says how its tensor is stored; nothing in it depends on any other tensor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed
from targets.null.packing import packed_bytes

_MAGIC = "snugfit-null 1 "
_HEAD = len(_MAGIC) + 13
_WIDTH = {"float32": 4, "float16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1}


@dataclass(frozen=True, slots=True)
class Record:
    """How one tensor is stored, as its line says.

    `layer` is empty for a tensor of no layer. `dtype` is that of a plain tensor; a quantized one has `format`
    (`int`, `lut`), `bits` and the shapes of its `scale` and `table` instead. `reads` and `writes` are the hexadecimal
    [scale, zero point] of static activations, `activations` how the layer computes.
    """

    tensor: str
    shape: tuple[int, ...]
    layer: str = ""
    format: str = "float"
    dtype: str = "float32"
    bits: int = 0
    axis: int = 0
    granularity: str = "tensor"
    group: int = 0
    scale: tuple[int, ...] = ()
    table: tuple[int, ...] = ()
    activations: str = "float"
    reads: tuple[Any, ...] = ()
    writes: tuple[Any, ...] = ()
    writer: str = ""

    def line(self) -> bytes:
        """Return the line, its newline included."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return (json.dumps(values, separators=(",", ":"), ensure_ascii=False) + "\n").encode()

    @property
    def parts(self) -> tuple[int, ...]:
        """Bytes of the tensor's data, its scale and its table, in the order in which they are stored."""
        if self.format == "float":
            return (prod(self.shape) * _WIDTH[self.dtype],)
        return packed_bytes(self.shape, self.bits), 4 * _count(self.scale), 2 * _count(self.table)

    @property
    def size(self) -> int:
        """Bytes that the tensor takes in the file: its line and its data."""
        return len(self.line()) + sum(self.parts)


def _count(shape: tuple[int, ...]) -> int:
    return prod(shape) if shape else 0


def overhead(graph: Mapping[str, Any]) -> int:
    """Return the bytes of a file that hold no tensor."""
    return _HEAD + len(_graph_line(graph))


def write(path: Path, graph: Mapping[str, Any], tensors: Sequence[tuple[Record, Sequence[bytes]]]) -> None:
    """Write the file; each record comes with the data of its parts."""
    lines = _graph_line(graph) + b"".join(record.line() for record, _ in tensors)
    with path.open("wb") as file:
        file.write(f"{_MAGIC}{len(lines):012}\n".encode() + lines)
        for record, parts in tensors:
            assert record.parts == tuple(len(part) for part in parts), record
            for part in parts:
                file.write(part)


def read(path: Path) -> tuple[dict[str, Any], list[tuple[Record, list[bytes]]]]:
    """Return the graph and every record with its parts; CheckFailed when the file is damaged."""
    try:
        raw = path.read_bytes()
        return _parse(raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckFailed(f"{path.name}: is not a null artifact or is damaged: {error}") from None


def _parse(raw: bytes) -> tuple[dict[str, Any], list[tuple[Record, list[bytes]]]]:
    if raw[: len(_MAGIC)] != _MAGIC.encode():
        raise ValueError("it starts with other bytes")
    start = _HEAD + int(raw[len(_MAGIC) : _HEAD])
    graph, *lines = raw[_HEAD:start].decode().splitlines()
    tensors = []
    for line in lines:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(line).items()}
        record = Record(**values)
        parts = []
        for size in record.parts:
            parts.append(raw[start : start + size])
            start += size
        tensors.append((record, parts))
    if start != len(raw):
        raise ValueError(f"it has {len(raw)} bytes where its lines say {start}")
    return json.loads(graph)["graph"], tensors


def _graph_line(graph: Mapping[str, Any]) -> bytes:
    return (json.dumps({"graph": graph}, separators=(",", ":"), ensure_ascii=False) + "\n").encode()
