"""Aims a weight at the float output from inputs that are no longer the float ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sdk.rounding.feedback import DAMPING
from sdk.rounding.statistics import Moments

ROWS = 256
"""Output channels, evenly spread, by which the share of a correction is found."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How the inputs x̂ of one layer differ from the float ones x over some samples.

    `moments` are those of x̂, `gap` ([groups, k, k]) is the mean of (x - x̂) x̂ᵀ.
    """

    moments: Moments
    gap: Any = field(repr=False)

    def __add__(self, other: Drift) -> Drift:
        mine, theirs = self.moments.samples, other.moments.samples
        return Drift(self.moments + other.moments, (self.gap * mine + other.gap * theirs) / (mine + theirs))


def aim(weight: Any, channel_axis: int, halves: Sequence[Drift]) -> Any:
    """Return the weight (float32, of the same shape) whose output from the inputs at hand is nearest to the float one.

    The least-squares weight of Wx on x̂ is W + P with P = W·E[(x-x̂)x̂ᵀ]·E[x̂x̂ᵀ]⁻¹. Of P that share is added which the
    correction of each half of the samples would have needed to be on the other half (cross-validation): none of it where it
    is the samples' accident, all of it where it holds for others.
    """
    rows = weight.detach().movedim(channel_axis, 0)
    groups = halves[0].gap.shape[0]
    flat = rows.reshape(groups, rows.shape[0] // groups, -1).float()
    share = _share(flat[:, :: -(-flat.shape[1] // ROWS)], halves)
    aimed = flat + share * _correction(flat, sum(halves[1:], halves[0])) if share > 0 else flat
    return aimed.reshape(rows.shape).movedim(0, channel_axis).contiguous()


def _correction(flat: Any, drift: Drift) -> Any:
    """P of `aim`, with the moments damped as error feedback damps them."""
    import torch

    dense = drift.moments.value.double()
    energy = dense.diagonal(dim1=1, dim2=2)
    drawn = dense + torch.diag_embed(drift.moments.noise * energy + DAMPING * energy.mean(1, keepdim=True).clamp(min=1e-12))
    wanted = (flat @ drift.gap).double().transpose(1, 2)
    return torch.cholesky_solve(wanted, torch.linalg.cholesky(drawn)).transpose(1, 2).float()


def _share(flat: Any, halves: Sequence[Drift]) -> float:
    """The best multiple (0 to 1) of one half's correction on the other half; 0 where there are no halves."""
    if len(halves) < 2:
        return 0.0
    along = energy = 0.0
    for fitted, other in (halves, halves[::-1]):
        made = _correction(flat, fitted)
        along += float(((flat @ other.gap) * made).double().sum())
        energy += float(((made @ other.moments.value) * made).double().sum())
    return min(1.0, max(0.0, along / energy)) if energy > 0 else 0.0
