"""Measured refinement: a plan's loss is a sum of layers; what they lose together is measured, and the plan made anew by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sdk.planning import Infeasible, Plan, corrected, significant, summed

TRIALS: dict[str, int] = {"quick": 0, "standard": 3, "thorough": 10}
"""Effort → plans that are quantized in torch and evaluated at most, before a plan is shown."""

SHIPPED = 3
"""Plans that are tried before a file is made whatever the effort, until one keeps its max_loss."""

AIM = 0.85
"""Share of max_loss that the next plan is made for, by what the last one lost."""

BEND = 0.85
"""Exponent of the step from one trial to the next: with fewer bits the loss grows faster than the sum of the layers."""

STEP = 8.0
"""Most that the limit of the sum is moved at once, up or down: far away, what was measured says little."""

LITTLE = 1.08
"""Factor by which the sum of the layers may grow that is not worth a trial."""

WORTH = 0.005
"""Share of the file's bytes below which another plan is not worth a trial."""


@dataclass(frozen=True, slots=True)
class Refined:
    """A plan with the loss that its layers have together, and the share of max_loss that their sum was limited to."""

    plan: Plan
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class _Trial:
    refined: Refined
    lost: float

    @property
    def bytes(self) -> int:
        return self.refined.plan.predicted.artifact_bytes


def refine(
    trials: int, choose: Callable[[float], Plan], measure: Callable[[Plan], float | None], smaller: bool = True,
    slack: float = 1.0,
) -> Refined:
    """Return the best of at most `trials` plans by what their layers were measured to lose together.

    Not `smaller`: the first that keeps its max_loss, `slack` times which it may lose.

    `choose` gives the plan whose summed loss is limited to a share of max_loss, Infeasible where there is none; `measure`
    what a plan loses, None where that cannot be measured. A plan without a max_loss stays as it is, with what it was measured to
    lose. Else the first is returned that keeps max_loss as measured, or the smallest of all where that is the objective, or
    the one that loses least where none does. Infeasible where the sum alone says so and the measurement does not disagree.
    """
    try:
        plan = choose(1.0)
    except Infeasible:
        anyway = _anyway(trials if smaller else 0, choose, measure)
        if anyway is None:
            raise
        found = [anyway]
    else:
        lost = measure(plan) if trials > 0 else None
        if lost is None:
            return Refined(plan)
        found = [_trial(plan, 1.0, lost)]
    plan = found[0].refined.plan
    limit = plan.budgets.max_loss
    if limit is None:
        return found[0].refined
    limit *= slack
    while len(found) < trials and ((smaller and plan.objective == "smallest") or found[-1].lost > limit):
        share = _next(found, limit)
        if share is None:
            break
        try:
            plan = choose(share)
        except Infeasible:
            break
        if any(plan.schemes == each.refined.plan.schemes for each in found):
            break
        lost = measure(plan)
        assert lost is not None
        found.append(_trial(plan, share, lost))
    kept = [each for each in found if each.lost <= limit]
    best = min(kept, key=lambda each: (each.bytes, each.lost)) if kept else min(found, key=lambda each: each.lost)
    return best.refined


def _anyway(
    trials: int, choose: Callable[[float], Plan], measure: Callable[[Plan], float | None]
) -> _Trial | None:
    """A plan whose layers lose too much one by one, if together they keep max_loss; None where there is no such."""
    try:
        plan = choose(STEP) if trials > 0 else None
    except Infeasible:
        return None
    lost = measure(plan) if plan is not None else None
    if plan is None or lost is None or plan.budgets.max_loss is None or lost > plan.budgets.max_loss:
        return None
    return _trial(plan, STEP, lost)


def _trial(plan: Plan, share: float, lost: float) -> _Trial:
    alone = summed(plan)
    ratio = float(f"{lost / alone:.3g}") if alone > 0 and math.isfinite(lost) else None
    return _Trial(Refined(corrected(plan, ratio), share), lost)


def _next(found: list[_Trial], limit: float) -> float | None:
    """The share to try next: by the last trial, or between the nearest that keeps the limit and the nearest that does not."""
    low = max((t for t in found if t.lost <= limit), key=lambda t: t.refined.share, default=None)
    high = min((t for t in found if t.lost > limit), key=lambda t: t.refined.share, default=None)
    if low is not None and high is not None:
        if low.bytes - high.bytes < WORTH * low.bytes:
            return None
        return _between(low, high, AIM * limit)
    last = low or high
    assert last is not None
    factor = (AIM * limit / last.lost) ** (BEND if last is low else 1.0) if last.lost > 0 else STEP
    factor = min(max(factor, 1 / STEP), STEP)
    return None if low is not None and factor < LITTLE else significant(last.refined.share * factor)


def _between(low: _Trial, high: _Trial, wanted: float) -> float | None:
    """Where the line between two trials, in logarithms, reaches `wanted`; well inside of both."""
    a, b = math.log(low.refined.share), math.log(high.refined.share)
    if b - a < 0.02:
        return None
    if not (0 < low.lost < high.lost < math.inf):
        part = 0.5
    else:
        part = (math.log(wanted) - math.log(low.lost)) / (math.log(high.lost) - math.log(low.lost))
    return significant(math.exp(a + min(max(part, 0.2), 0.8) * (b - a)))
