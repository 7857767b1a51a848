"""Rounds a float weight onto the grid of a scheme, with the scales and tables that lose least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.rounding.grid import Grid
from sdk.rounding.lattice import LEAST_SCALE, lattice_scale, least_integer, on_levels
from sdk.schemes import Scheme

SEARCH = {8: (1.0, 0.97, 0.94, 0.9), 4: tuple(1.0 - 0.045 * i for i in range(12)), 2: tuple(1.0 - 0.06 * i for i in range(13))}
"""Clipping ratios tried for the scale, by width in bits: fewer bits gain more from clipping outliers."""

CHUNK = 1 << 16
"""Weights searched at once, so that the working set stays in the processor's cache."""


def round_weight(weight: Any, scheme: Scheme, channel_axis: int, importance: Any = None) -> Grid:
    """Return `weight` (float tensor) on the grid of `scheme` (see `round_weights`)."""
    return round_weights(weight, [scheme], channel_axis, importance)[0]


def round_weights(weight: Any, schemes: Sequence[Scheme], channel_axis: int, importance: Any = None) -> list[Grid]:
    """Return `weight` (float tensor) on the grid of each of `schemes`.

    `importance` (same shape, non-negative) weighs the squared error of each element, as the diagonal of the
    Fisher information does (Dong et al. 2019, HAWQ; Kim et al. 2023, SqueezeLLM); None: all equal.
    """
    import torch

    from sdk.rounding.palettes import Palettes

    weight = weight.detach().float()
    rows = weight.movedim(channel_axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    cost = torch.ones_like(flat) if importance is None else _damp(importance.movedim(channel_axis, 0).reshape(flat.shape))
    palettes = Palettes(flat, cost)

    def onto(scheme: Scheme) -> Grid:
        shape = tuple(weight.shape)
        if scheme.format == "float":
            return Grid(scheme, shape, channel_axis, value=weight.half().float() if scheme.bits == 16 else weight.clone())
        if scheme.format == "lut":
            own = on_levels(flat, scheme)
            codes, table, scale = palettes.fit(scheme) if own is None else own
            zero, exact = None, own is not None
        else:
            codes, scale, exact = _fit_integers(flat, cost, scheme)
            table, zero = None, torch.zeros_like(scale, dtype=torch.int32)
        codes = codes.reshape(rows.shape).movedim(0, channel_axis).contiguous()
        return Grid(scheme, shape, channel_axis, codes=codes, scale=scale, zero_point=zero, table=table, exact=exact)

    return [onto(scheme) for scheme in schemes]


def _damp(importance: Any) -> Any:
    """Mix the importance with its mean, so that a few noisy estimates do not decide alone."""
    cost = importance.float()
    mean = cost.mean()
    return cost + 0.2 * mean if float(mean) > 0 else cost + 1.0


def exact_scale(scale: Any, grouped: bool) -> Any:
    """Round scales to what formats store exactly: float16, and bfloat16's eight bits for group scales."""
    import torch

    kept = scale.to(torch.bfloat16).float() if grouped else scale
    return kept.half().float().clamp(min=LEAST_SCALE)


def lies_on(weight: Any, scheme: Scheme, channel_axis: int) -> bool:
    """Whether `weight` is exactly integers times the scales that `scheme` stores (see `lattice_scale` and `on_levels`)."""
    rows = weight.detach().float().movedim(channel_axis, 0)
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
    return int({"tensor": rows.numel(), "channel": rows[0].numel(), "group": scheme.group}[scheme.granularity])


def _fit_integers(flat: Any, cost: Any, scheme: Scheme) -> tuple[Any, Any, bool]:
    """Symmetric integers: codes, scales, and whether they are exact; per block the ratio of least weighted squared error.

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
    step = max(1, CHUNK // size)
    best_scale = torch.cat([
        _search(blocks[i : i + step], costs[i : i + step], full[i : i + step], SEARCH[scheme.bits], most, grouped)
        for i in range(0, blocks.shape[0], step)
    ])
    known = lattice_scale(blocks, scheme.bits, lambda scale: exact_scale(scale, grouped))
    best_scale = torch.where(known > 0, known, best_scale)
    least = torch.where(known > 0, float(least_integer(scheme.bits)), -float(most))
    codes = torch.round(blocks / best_scale).clamp_(min=least).clamp_(max=most).to(torch.int8).reshape(flat.shape)
    exact = _whole(blocks, known)
    return codes, best_scale.reshape(1, 1) if scheme.granularity == "tensor" else best_scale.reshape(flat.shape[0], -1), exact


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
