"""Rounds a float weight onto the grid of a scheme, with the scales and tables that lose least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.rounding.grid import Grid
from sdk.rounding.lattice import LEAST_SCALE, lattice_scale, least_integer, on_levels
from sdk.schemes import Scheme

SEARCH = {8: (1.0, 0.97, 0.94, 0.9), 4: tuple(1.0 - 0.045 * i for i in range(12)), 2: tuple(1.0 - 0.06 * i for i in range(13))}
"""Clipping ratios tried for the scale, by width in bits: fewer bits gain more from clipping outliers."""

CHUNK = 1 << 16
"""Weights searched at once, so that the working set stays in the processor's cache."""

WHOLE, PART_ROWS = 1 << 26, 64
"""Weights beyond which a matrix is rounded in parts, which bounds memory, and the channels that a part has a multiple of."""


def round_weight(weight: Any, scheme: Scheme, channel_axis: int, importance: Any = None) -> Grid:
    """Return `weight` (float tensor) on the grid of `scheme` (see `round_weights`)."""
    return round_weights(weight, [scheme], channel_axis, importance)[0]


def round_weights(weight: Any, schemes: Sequence[Scheme], channel_axis: int, importance: Any = None) -> list[Grid]:
    """Return `weight` (float tensor) on the grid of each of `schemes`.

    `importance` (same shape, non-negative) weighs the squared error of each element, as the diagonal of the
    Fisher information does (Dong et al. 2019, HAWQ; Kim et al. 2023, SqueezeLLM); None: all equal.
    """
    import torch

    weight = weight.detach().float()
    rows = weight.movedim(channel_axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    cost = None if importance is None else importance.movedim(channel_axis, 0).reshape(flat.shape)
    made = _in_parts(flat, cost, schemes)

    def joined(scheme: Scheme, found: list[_Rows]) -> Grid:
        shape = tuple(weight.shape)
        if scheme.format == "float":
            return Grid(scheme, shape, channel_axis, value=weight.half().float() if scheme.bits == 16 else weight.clone())
        codes, scale, table = _join(scheme, found)
        zero = torch.zeros_like(scale, dtype=torch.int32) if scheme.format == "int" else None
        codes = codes.reshape(rows.shape).movedim(0, channel_axis).contiguous()
        exact = all(each.exact for each in found)
        return Grid(scheme, shape, channel_axis, codes=codes, scale=scale, zero_point=zero, table=table, exact=exact)

    return [joined(scheme, found) for scheme, found in zip(schemes, made, strict=True)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some channels on a grid; nothing of floats, which are not searched."""

    codes: Any = None
    scale: Any = None
    table: Any = None
    exact: bool = False


def _in_parts(flat: Any, cost: Any, schemes: Sequence[Scheme]) -> list[list[_Rows]]:
    """Round [channels, rest] to each scheme, a part of the channels after the other; `cost` is the importance or None.

    A palette's table that all channels share is found first, on some of them. Those of a grid that the weight lies on
    already are known; where a part does not lie on it, none does.
    """
    mean = 0.0 if cost is None else float(cost.float().mean())
    parts = flat.split(max(PART_ROWS, WHOLE // flat.shape[1] // PART_ROWS * PART_ROWS))
    costs = [None] * len(parts) if cost is None else cost.split(len(parts[0]))

    def each_part(wanted: Sequence[Scheme], tables: Mapping[Scheme, Any]) -> dict[Scheme, list[_Rows]]:
        found: dict[Scheme, list[_Rows]] = {scheme: [] for scheme in wanted}
        for part, theirs in zip(parts, costs, strict=True):
            for scheme, one in zip(wanted, _round_rows(part, _damp(part, theirs, mean), wanted, tables), strict=True):
                found[scheme].append(one)
        return found

    def tables_of(wanted: Sequence[Scheme]) -> dict[Scheme, Any]:
        step = -(-flat.numel() // WHOLE)
        some = flat[::step].contiguous()
        return _tables(some, _damp(some, None if cost is None else cost[::step], mean), wanted)

    if len(parts) == 1:
        return list(each_part(schemes, {}).values())
    shared = [scheme for scheme in schemes if scheme.format == "lut" and scheme.granularity != "group"]
    made = each_part(schemes, tables_of([scheme for scheme in shared if on_levels(parts[0], scheme) is None]))
    torn = [scheme for scheme in shared if len({each.exact for each in made[scheme]}) > 1]
    made |= each_part(torn, tables_of(torn)) if torn else {}
    return list(made.values())


def _round_rows(flat: Any, cost: Any, schemes: Sequence[Scheme], tables: Mapping[Scheme, Any]) -> list[_Rows]:
    """Put some channels ([channels, rest]) on each grid; palettes in `tables` have that table."""
    from sdk.rounding.palettes import Palettes

    palettes = Palettes(flat, cost)

    def onto(scheme: Scheme) -> _Rows:
        if scheme.format == "float":
            return _Rows()
        if scheme.format == "int":
            return _fit_integers(flat, cost, scheme)
        own = None if scheme in tables else on_levels(flat, scheme)
        codes, table, scale = palettes.fit(scheme, tables.get(scheme)) if own is None else own
        return _Rows(codes, scale, table, own is not None)

    return [onto(scheme) for scheme in schemes]


def _tables(flat: Any, cost: Any, schemes: Sequence[Scheme]) -> dict[Scheme, Any]:
    """The table that a palette fits to all of `flat`."""
    from sdk.rounding.palettes import Palettes

    palettes = Palettes(flat, cost)
    return {scheme: palettes.fit(scheme)[1] for scheme in schemes}


def _join(scheme: Scheme, found: Sequence[_Rows]) -> tuple[Any, Any, Any]:
    """Codes, scales and tables of all channels from those of the parts."""
    import torch

    codes = torch.cat([each.codes for each in found])
    scale = None if found[0].scale is None else torch.cat([each.scale for each in found])
    grouped = scheme.granularity == "group"
    return codes, scale, torch.cat([each.table for each in found]) if grouped and scheme.format == "lut" else found[0].table


def _damp(flat: Any, importance: Any, mean: float) -> Any:
    """Mix the importance with its `mean` over the weight, so that a few noisy estimates do not decide alone; None: all alike."""
    import torch

    if importance is None:
        return torch.ones_like(flat)
    return importance.to(torch.float32, copy=True).add_(0.2 * mean if mean > 0 else 1.0)


def exact_scale(scale: Any, grouped: bool) -> Any:
    """Round scales to what formats store exactly: float16, and bfloat16's eight bits for group scales."""
    import torch

    kept = scale.to(torch.bfloat16).float() if grouped else scale
    return kept.half().float().clamp(min=LEAST_SCALE)


def lies_on(weight: Any, scheme: Scheme, channel_axis: int) -> bool:
    """Whether `scheme` stores `weight` as it is: in floats, or as integers times scales (see `lattice_scale` and `on_levels`)."""
    weight = weight.detach().float()
    if scheme.format == "float":
        return scheme.bits == 32 or bool((weight.half().float() == weight).all())
    rows = weight.movedim(channel_axis, 0)
    if scheme.format != "int":
        return on_levels(rows.reshape(rows.shape[0], -1), scheme) is not None
    blocks = rows.reshape(-1, _block(rows, scheme))
    known = lattice_scale(blocks, scheme.bits, lambda scale: exact_scale(scale, scheme.granularity == "group"))
    return _whole(blocks, known)


def _whole(blocks: Any, known: Any) -> bool:
    """Whether every block has a scale in `known`, or is zero."""
    return bool(((known > 0) | (blocks == 0).all(1, keepdim=True)).all())


def _block(rows: Any, scheme: Scheme) -> int:
    """Weights that share one scale; `rows` has the output channels first."""
    return int({"channel": rows[0].numel(), "group": scheme.group}[scheme.granularity])


def _fit_integers(flat: Any, cost: Any, scheme: Scheme) -> _Rows:
    """Symmetric integers; per block the ratio of least weighted squared error.

    A block that lies on such a grid already keeps its own scale, and the least integer that only such blocks have.
    """
    import torch
    from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine

    size = _block(flat, scheme)
    blocks, costs = flat.reshape(-1, size), cost.reshape(-1, size)
    most = 2 ** (scheme.bits - 1) - 1
    full, _ = choose_qparams_affine(
        blocks, MappingType.SYMMETRIC_NO_CLIPPING_ERR, (1, size), torch.int8, quant_min=-most, quant_max=most,
        eps=LEAST_SCALE, scale_dtype=torch.float32,
    )
    full = torch.where(blocks.abs().amax(1, keepdim=True) > 0, full.reshape(-1, 1), torch.ones_like(full.reshape(-1, 1)))
    grouped = scheme.granularity == "group"
    known = lattice_scale(blocks, scheme.bits, lambda scale: exact_scale(scale, grouped))
    exact = _whole(blocks, known)
    step = max(1, CHUNK // size)
    best_scale = exact_scale(full, grouped) if exact else torch.cat([
        _search(blocks[i : i + step], costs[i : i + step], full[i : i + step], SEARCH[scheme.bits], most, grouped)
        for i in range(0, blocks.shape[0], step)
    ])
    best_scale = torch.where(known > 0, known, best_scale)
    least = torch.where(known > 0, float(least_integer(scheme.bits)), -float(most))
    codes = torch.round(blocks / best_scale).clamp_(min=least).clamp_(max=most).to(torch.int8).reshape(flat.shape)
    return _Rows(codes, best_scale.reshape(flat.shape[0], -1), exact=exact)


def _search(blocks: Any, costs: Any, full: Any, ratios: tuple[float, ...], most: int, grouped: bool) -> Any:
    """Scale of least weighted squared error for each row of `blocks`, among `full` times each ratio."""
    import torch

    best_error = torch.full_like(full, float("inf"))
    best_scale = full.clone()
    work = torch.empty_like(blocks)
    for ratio in ratios:
        scale = exact_scale(full * ratio, grouped)
        torch.div(blocks, scale, out=work)
        work.round_().clamp_(-most, most).mul_(scale).sub_(blocks).square_().mul_(costs)
        error = work.sum(1, keepdim=True)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_scale = torch.where(better, scale, best_scale)
    return best_scale
