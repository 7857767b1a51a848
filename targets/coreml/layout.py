"""Brings a Grid into the layout of Core ML's constexpr operators, and through what the converter does to a weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sdk.schemes import Scheme

GATES = (0, 1, 3, 2)
"""Core ML's order (input, forget, output, cell) of torch's LSTM gates (input, forget, cell, output)."""

SMALLEST = 10
"""Fewest weights that are compressed: smaller constants are written into the graph, not into the weights file."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """One compressed weight as numpy arrays: codes in the weight's shape, scale and table of the same rank.

    Every axis of `scale` divides that of `codes` (blocks); `table` has one more axis of 2^bits entries. None:
    the scheme has none.
    """

    codes: Any
    scale: Any = None
    table: Any = None


@dataclass(frozen=True, slots=True)
class Placement:
    """One constant of the converted program that holds a layer's weight.

    `const` is its name there, `change` what the converter did to the weight: `same`, `transposed`, `gates`
    (LSTM rows reordered) or `rows` (`rows`: the looked-up indices, which had the shape `looked`; `order` is that of the
    result's axes, and the constant has `shape`). `dtype` is the constant's float type: float16, or float32 where the operator
    knows no other (an LSTM before iOS 18).
    """

    const: str
    change: str
    shape: tuple[int, ...]
    rows: tuple[int, ...] = ()
    dtype: str = "float16"
    looked: tuple[int, ...] = ()
    order: tuple[int, ...] = ()


HOLDS: dict[tuple[str, str, bool], dict[int, int]] = {
    ("int", "channel", False): {8: 16, 4: 18},
    ("int", "group", False): {8: 18, 4: 18},
    ("lut", "tensor", False): {1: 16, 2: 16, 3: 18, 4: 16, 6: 16, 8: 16},
    ("lut", "tensor", True): {1: 18, 2: 18, 3: 18, 4: 18, 6: 18, 8: 18},
    ("lut", "group", False): {1: 18, 2: 18, 3: 18, 4: 18, 6: 18, 8: 18},
    ("float", "tensor", False): {16: 16},
}
"""What ML programs hold: (format, granularity, scales of a palette) → bits of a weight → least iOS."""


def least_ios(scheme: Scheme) -> int | None:
    """Return the first iOS whose ML programs hold `scheme`, or None when none does."""
    if scheme.activations != "float" or not scheme.symmetric:
        return None
    return HOLDS.get((scheme.format, scheme.granularity, has_scale(scheme)), {}).get(scheme.bits)


def has_scale(scheme: Scheme) -> bool:
    """Whether a palette is multiplied by scales."""
    return scheme.channel_scale or scheme.scale_group > 0


def scale_group(scheme: Scheme) -> int:
    """Weights along the input that share a scale; 0: all of a channel (or there is none)."""
    return scheme.group if scheme.format == "int" and scheme.granularity == "group" else scheme.scale_group


def refusal(scheme: Scheme, shape: tuple[int, ...], axis: int, placements: tuple[Placement, ...], ios: int) -> str | None:
    """Say why a weight of `shape` with output channels on `axis` cannot be stored in `scheme` here, or None."""
    least = least_ios(scheme)
    if least is None or least > ios:
        return "ML programs do not hold it" if least is None else f"it needs iOS {least}, the package is for iOS {ios}"
    if scheme.format == "float":
        return None
    if not placements:
        return "the converter merged its weight with others"
    if math.prod(shape) < SMALLEST:
        return f"{math.prod(shape)} weights are too few to compress"
    return _shape_refusal(scheme, shape, axis, placements)


def _shape_refusal(scheme: Scheme, shape: tuple[int, ...], axis: int, placements: tuple[Placement, ...]) -> str | None:
    """Say why groups, tables or scales do not lie in a weight of `shape`, or None."""
    channels, size = shape[axis], math.prod(shape)
    group = scale_group(scheme)
    if group:
        if size // channels <= group or (size // channels) % group:
            return f"{size // channels} inputs per channel do not make groups of {group}"
        if _blocks(shape, axis, group) is None:
            return f"groups of {group} are not blocks of a {list(shape)} weight"
    if scheme.granularity == "group" and scheme.format == "lut":
        if channels <= scheme.group or channels % scheme.group:
            return f"{channels} output channels do not make groups of {scheme.group}"
        return next(filter(None, (_table_refusal(p, channels, scheme.group) for p in placements)), None)
    if (scheme.format == "int" or has_scale(scheme)) and any(sum(n > 1 for n in p.looked) > 1 for p in placements):
        return "its rows are looked up along several axes, and scales lie along one"
    return None


def _table_refusal(placement: Placement, channels: int, group: int) -> str | None:
    if placement.change == "rows":
        return "only some of its rows are stored, which cuts through the groups"
    if placement.change == "gates" and (channels // 4) % group:
        return f"gates of {channels // 4} channels are not multiples of {group}"
    return None


def _blocks(shape: tuple[int, ...], axis: int, group: int) -> tuple[int, ...] | None:
    """Number of scales per axis when `group` weights of the flattened rest share one.

    None when no box of whole kernels does: blocks run along input channels only, as Core ML's tools write them.
    """
    counts, left = [1] * len(shape), group
    for index in reversed(range(len(shape))):
        if index == axis:
            counts[index] = shape[index]
        elif left >= shape[index]:
            if left % shape[index]:
                return None
            left //= shape[index]
        else:
            if shape[index] % left:
                return None
            counts[index], left = shape[index] // left, 1
    inputs = 1 if axis == 0 else 0
    return tuple(counts) if all(n == 1 or i in (axis, inputs) for i, n in enumerate(counts)) else None


def from_grid(grid: Any) -> Arrays:
    """Return a Grid's codes, scales and tables as Arrays."""
    import numpy as np

    shape, axis, scheme = tuple(grid.shape), grid.channel_axis, grid.scheme
    codes = grid.codes.numpy()
    scale = None if grid.scale is None else np.ascontiguousarray(grid.scale.numpy())
    if scale is not None:
        counts = _scale_shape(shape, axis, scheme)
        scale = np.moveaxis(scale.reshape(counts[axis], *counts[:axis], *counts[axis + 1:]), 0, axis)
    table = None if grid.table is None else grid.table.numpy().reshape(*_table_shape(shape, axis, scheme))
    return Arrays(codes, scale, table)


def blank(scheme: Scheme, shape: tuple[int, ...], axis: int) -> Arrays:
    """Return Arrays of the right shapes without values, to measure what they cost."""
    import numpy as np

    scaled = scheme.format == "int" or has_scale(scheme)
    scale = np.zeros(_scale_shape(shape, axis, scheme), np.float32) if scaled else None
    table = np.zeros(_table_shape(shape, axis, scheme), np.float32) if scheme.format == "lut" else None
    return Arrays(np.zeros(shape, np.int8 if scheme.format == "int" else np.uint8), scale, table)


def _scale_shape(shape: tuple[int, ...], axis: int, scheme: Scheme) -> tuple[int, ...]:
    counts = _blocks(shape, axis, scale_group(scheme) or math.prod(shape) // shape[axis])
    assert counts is not None
    return counts


def _table_shape(shape: tuple[int, ...], axis: int, scheme: Scheme) -> tuple[int, ...]:
    tables = shape[axis] // scheme.group if scheme.granularity == "group" else 1
    return (*(tables if i == axis else 1 for i in range(len(shape))), 2**scheme.bits)


def changed(arrays: Arrays, placement: Placement) -> Arrays:
    """Do to codes, scales and tables what the converter did to the weight."""
    if placement.change == "same":
        return arrays
    return replace(
        arrays,
        codes=_CHANGES[placement.change](arrays.codes, placement, arrays.codes.shape, 0).reshape(placement.shape),
        scale=_part(arrays.scale, arrays, placement, 0),
        table=_part(arrays.table, arrays, placement, 1),
    )


def _part(part: Any, arrays: Arrays, placement: Placement, extra: int) -> Any:
    return None if part is None else _CHANGES[placement.change](part, placement, arrays.codes.shape, extra)


def _transposed(part: Any, placement: Placement, shape: Any, extra: int) -> Any:
    return part.swapaxes(0, 1)


def _gates(part: Any, placement: Placement, shape: Any, extra: int) -> Any:
    """Reorder the four gates along the first axis (one entry for all stays)."""
    if part.shape[0] == 1:
        return part
    return part.reshape(4, part.shape[0] // 4, *part.shape[1:])[list(GATES)].reshape(part.shape)


def _rows(part: Any, placement: Placement, shape: Any, extra: int) -> Any:
    """Pick the looked-up rows and bring their axes into order; what the result's shape has in front is ones."""
    picked = part
    if part.shape[0] != 1 or shape[0] == 1:
        picked = part[list(placement.rows)].reshape(*placement.looked, *part.shape[1:])
        picked = picked.transpose(*placement.order, *range(len(placement.order), picked.ndim))
    lead = len(placement.shape) - (picked.ndim - extra)
    return picked.reshape(*(1,) * lead, *picked.shape)


_CHANGES: dict[str, Callable[[Any, Placement, Any, int], Any]] = {
    "transposed": _transposed, "gates": _gates, "rows": _rows,
}


def change_value(weight: Any, change: str) -> Any:
    """Return a float weight (numpy) as the converter stores it after `change` (`transposed` or `gates`)."""
    return _CHANGES[change](weight, Placement("", change, ()), weight.shape, 0)
