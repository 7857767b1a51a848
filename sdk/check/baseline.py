"""Has it become slower or bigger? The repeats of two results, compared pair by pair.

A machine's speed drifts by more than the change that is looked for, but it drifts for both sides of a pair alike: so
ratios of neighbours are judged, never absolute times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sdk.check.result import BudgetEntry, CheckResult, Measured, Verdict
from sdk.check.statistics import quantile
from sdk.errors import BadInput

LATENCY = 0.10
"""Regression of latency that has to be found."""
MEMORY = 0.05
"""Regression of peak memory that has to be found."""
LEAST = 5
"""Pairs below which nothing is said."""
Change = Literal["worse", "same", "better", "unclear"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The median ratio (now / before) of the pairs, the ratio from which it counts as worse, and what that means.

    `unclear`: the pairs differ so much that a regression of the size looked for can be neither seen nor ruled out.
    """

    ratio: float
    border: float
    change: Change


def compare_pairs(before: Sequence[float], now: Sequence[float], looked_for: float) -> Comparison:
    """Compare neighbours: `worse` when the median ratio is past half of `looked_for` and all pairs but one agree.

    Half way between no change and the change looked for is where both errors are equally rare; the sign test keeps one
    disturbed pair from deciding. BadInput for fewer than five pairs or unequal numbers.
    """
    if len(before) != len(now) or len(now) < LEAST:
        raise BadInput(
            f"--baseline: {len(before)} repeats before and {len(now)} now: both need the same number, at least {LEAST} "
            "(--protocol full)"
        )
    ratios = [math.log(b / a) for a, b in zip(before, now, strict=True)]
    return Comparison(math.exp(median(ratios)), math.sqrt(1 + looked_for), _change(ratios, looked_for))


def _change(ratios: Sequence[float], looked_for: float) -> Change:
    border, middle = math.log1p(looked_for) / 2, median(ratios)
    scatter = 1.4826 * median(abs(each - middle) for each in ratios)  # the standard deviation of a normal, from its MAD
    if middle > border and sum(each > 0 for each in ratios) >= len(ratios) - 1:
        return "worse"
    if middle < -border and sum(each < 0 for each in ratios) >= len(ratios) - 1:
        return "better"
    return "unclear" if scatter > 2 * border else "same"


def judge_baseline(before: CheckResult, now: CheckResult) -> tuple[BudgetEntry, ...]:
    """Return the verdicts of `now` against `before`: p50 of each repeat, and its peak memory where both know it.

    BadInput when the two were measured on other devices, targets or protocols, which no ratio would stand for.
    """
    for what in ("device.id", "origin", "target", "protocol.name", "bundle.model"):
        ours, theirs = _part(now, what), _part(before, what)
        if ours != theirs:
            raise BadInput(f"--baseline: {what} is {theirs} there and {ours} here: compare the same model, measured alike")
    entries = [_entry("latency against baseline", _medians(before), _medians(now), LATENCY, now)]
    peaks = [[repeat.peak_bytes or 0 for repeat in result.repeats] for result in (before, now)]
    if all(value for side in peaks for value in side):
        entries.append(_entry("memory against baseline", peaks[0], peaks[1], MEMORY, now))
    return tuple(entries)


def _entry(name: str, before: Sequence[float], now: Sequence[float], looked_for: float, result: CheckResult) -> BudgetEntry:
    found = compare_pairs(before, now, looked_for)
    verdicts: dict[Change, Verdict] = {"worse": "failed", "unclear": "unjudged", "same": "passed", "better": "passed"}
    why = "the repeats scatter too much to see a change of this size" if found.change == "unclear" else ""
    return BudgetEntry(
        name=name, limit=found.border, unit="ratio", measured=Measured(value=found.ratio, origin=result.origin),
        verdict=verdicts[found.change], asked="flag", why=why,
    )  # fmt: skip


def _medians(result: CheckResult) -> list[float]:
    return [quantile(repeat.samples_ns, 0.5) for repeat in result.repeats]


def _part(result: CheckResult, path: str) -> object:
    found: object = result
    for name in path.split("."):
        found = getattr(found, name)
    return found
