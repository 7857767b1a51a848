"""How a weight on its grid becomes a record with data, and a record a weight again."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from sdk.errors import CheckFailed
from sdk.lowering.types import Range
from sdk.models import Layer
from sdk.rounding import Grid
from sdk.schemes import Scheme, all_schemes
from targets.null.container import Record
from targets.null.packing import pack, unpack

_PLACEHOLDER = (float(0).hex().rjust(24), "+000")


def record_for(layer: Layer, weight: int, shape: tuple[int, ...], scheme: Scheme) -> Record:
    """Return how weight number `weight` of `layer` is stored in `scheme`; ranges are placeholders of the final width."""
    first = weight == 0
    ranged = first and scheme.activations == "static"
    common: dict[str, Any] = {
        "tensor": layer.weights[weight],
        "shape": shape,
        "layer": layer.name,
        "axis": layer.channel_axis,
        "activations": scheme.activations,
        "reads": _PLACEHOLDER if ranged else (),
        "writes": _PLACEHOLDER if ranged else (),
        "writer": layer.output if ranged else "",
    }
    if scheme.format == "float":
        return Record(dtype="float16" if scheme.bits == 16 else "float32", bits=scheme.bits, **common)
    channels = shape[layer.channel_axis]
    return Record(
        format=scheme.format,
        bits=scheme.bits,
        granularity=scheme.granularity,
        group=scheme.group,
        scale=_scale_shape(scheme, channels, prod(shape)),
        table=_table_shape(scheme, channels),
        **common,
    )


def _scale_shape(scheme: Scheme, channels: int, count: int) -> tuple[int, ...]:
    if scheme.format == "lut":
        return (channels, 1) if scheme.channel_scale else ()
    rows = 1 if scheme.granularity == "tensor" else channels
    return rows, count // channels // scheme.group if scheme.granularity == "group" else 1


def _table_shape(scheme: Scheme, channels: int) -> tuple[int, ...]:
    if scheme.format != "lut":
        return ()
    tables = {"tensor": 1, "channel": channels, "group": channels // max(scheme.group, 1)}[scheme.granularity]
    return tables, 2**scheme.bits


def encode(record: Record, grid: Grid) -> list[bytes]:
    """Return the data of the record's parts for a weight on its grid."""
    if record.format == "float":
        value = grid.value.half() if record.dtype == "float16" else grid.value.float()
        return [value.contiguous().numpy().tobytes()]
    codes = pack(grid.codes.numpy(), record.bits, signed=record.format == "int")
    scale = b"" if grid.scale is None else grid.scale.float().contiguous().numpy().tobytes()
    table = b"" if grid.table is None else grid.table.half().contiguous().numpy().tobytes()
    return [codes, scale, table]


def decode(record: Record, parts: list[bytes]) -> Any:
    """Return the tensor that a record and its data stand for (quantized ones dequantized to float32)."""
    import torch

    if record.format == "float":
        plain = _tensor(parts[0], record.dtype, record.shape)
        return plain.float() if record.dtype == "float16" and record.layer else plain
    codes = torch.from_numpy(unpack(parts[0], record.shape, record.bits, signed=record.format == "int"))
    scale = _tensor(parts[1], "float32", record.scale) if record.scale else None
    table = _tensor(parts[2], "float16", record.table).float() if record.table else None
    rows = codes.movedim(record.axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    if table is not None:
        tables = table.repeat_interleave(flat.shape[0] // table.shape[0], dim=0)
        values = torch.gather(tables, 1, flat.long()) * (1.0 if scale is None else scale)
    else:
        assert scale is not None
        blocks = flat.float().reshape(flat.shape[0], scale.shape[1], -1)
        values = blocks * scale.expand(flat.shape[0], -1).unsqueeze(-1)
    return values.reshape(rows.shape).movedim(0, record.axis).contiguous()


def _tensor(data: bytes, dtype: str, shape: tuple[int, ...]) -> Any:
    import numpy
    import torch

    return torch.from_numpy(numpy.frombuffer(data, dtype=dtype).reshape(shape).copy())


def with_ranges(record: Record, layer: Layer, ranges: Mapping[str, Range]) -> Record:
    """Return the record with the calibrated ranges of a static layer in place of the placeholders."""
    from dataclasses import replace

    if not record.reads:
        return record
    reads, writes = ranges[layer.input], ranges.get(layer.output)
    return replace(record, reads=_hex(reads), writes=_hex(writes) if writes else _PLACEHOLDER)


def _hex(found: Range) -> tuple[str, str]:
    return float(found.scale).hex().rjust(24), f"{found.zero_point:+04}"


def range_of(pair: tuple[Any, ...]) -> tuple[float, int] | None:
    """Return (scale, zero point) of a record's `reads` or `writes`, None where there is none."""
    scale = float.fromhex(pair[0]) if pair else 0.0
    return (scale, int(pair[1])) if scale else None


def scheme_of(record: Record) -> str:
    """Name the scheme that a record really holds; CheckFailed when no scheme is stored like that."""
    kept = (record.format, record.bits, record.granularity, record.group, record.activations,
            record.format == "lut" and bool(record.scale))
    for scheme in all_schemes().values():
        own = (scheme.format, scheme.bits, scheme.granularity, scheme.group, scheme.activations, scheme.channel_scale)
        if kept == own:
            return scheme.name
    raise CheckFailed(f"layer {record.layer}: is stored in no known scheme: {kept}")
