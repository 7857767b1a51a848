"""Has it become slower or bigger than its baseline? Both are measured in turns, and judged pair by pair.

A machine's speed drifts by more than the change that is looked for, but it drifts for neighbours alike: so ratios of
neighbours are judged, never absolute times. A repeat is two fresh processes. Each loads one of the two artifacts and
measures it alone, as a repeat without a baseline does, then loads the other too and runs both in turns of a few runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sdk.bundles import Manifest
from sdk.check.result import BudgetEntry, Measured, Origin, Repeat, Verdict
from sdk.errors import BadInput, RunnerFailed

LATENCY = 0.10
"""Regression of latency that has to be found."""
MEMORY = 0.05
"""Regression of peak memory that has to be found."""
BLUR = 1 << 20
"""Bytes that count on both sides of a memory's ratio: some pages more or fewer are no change of a small artifact."""
LEAST = 5
"""Repeats of a comparison."""
MISSED, ALARMS = 1.645, 2.326
"""Standard normal quantiles of the errors that are allowed: 1 of 20 regressions missed, 1 alarm in 100 without one."""
ALIKE = ("model.name", "device", "target")
"""What two bundles have to share to be compared."""
Change = Literal["worse", "same", "unclear"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ratio (now / before) of the pairs, the ratio from which it counts as worse, and what that means.

    `unclear`: the repeats differ so much that a regression of the size looked for can be neither seen nor ruled out.
    """

    ratio: float
    border: float
    change: Change


def border(looked_for: float) -> float:
    """Return the ratio from which a change counts as worse.

    It divides the way from no change to `looked_for` (on the scale of logarithms) so that both kinds of error reach
    what is allowed at the same noise: the test of one simple hypothesis against another (Neyman and Pearson 1933) of a
    normal mean, whose standard error may then be log(1 + looked_for) / (MISSED + ALARMS).
    """
    return math.exp(math.log1p(looked_for) * ALARMS / (MISSED + ALARMS))


def compare(ratios: Sequence[float], looked_for: float) -> Comparison:
    """Compare by the log ratios (now over before) of at least five repeats.

    Their place is that of Hodges and Lehmann (1963): the median of the means of all pairs, each with itself included,
    as exact as a mean for normal noise, and one disturbed repeat of five does not decide. Worse where it is past the
    border and at most one repeat says the opposite. ValueError for fewer than five.
    """
    if len(ratios) < LEAST:
        raise ValueError(f"{len(ratios)} repeats")
    limit, found = border(looked_for), place(ratios)
    scatter = 1.4826 * median(abs(each - found) for each in ratios)  # the standard deviation of a normal, from its MAD
    worse = found > math.log(limit) and sum(each > 0 for each in ratios) >= len(ratios) - 1
    blind = scatter / math.sqrt(len(ratios)) > math.log1p(looked_for) / (MISSED + ALARMS)
    return Comparison(math.exp(found), limit, "worse" if worse else "unclear" if blind else "same")


def place(values: Sequence[float]) -> float:
    """Return the estimate of Hodges and Lehmann: the median of (a + b) / 2 over all pairs, a = b included."""
    return median((a + b) / 2 for i, a in enumerate(values) for b in values[i:])


def comparable(now: Manifest, before: Manifest) -> None:
    """Say whether the two bundles can be run in turns; BadInput names what differs."""
    made_for = [("accelerator", *(side.accelerator.kind if side.accelerator else "cpu" for side in (now, before)))]
    for what, ours, theirs in [*((each, _part(now, each), _part(before, each)) for each in ALIKE), *made_for]:
        if ours != theirs:
            raise BadInput(f"--baseline: {what} is {theirs} there and {ours} here: name an earlier bundle of the same")
    ours, theirs = ([(tensor.dtype, tensor.shape) for tensor in side.model.inputs] for side in (now, before))
    if ours != theirs:
        raise BadInput("--baseline: it takes inputs of other types or shapes: the two cannot be run on the same inputs")


def judge_baseline(now: Sequence[Repeat], before: Sequence[Repeat], origin: Origin) -> tuple[BudgetEntry, ...]:
    """Return the verdicts of the repeats of an artifact against those of its baseline: latency, and memory if known.

    An emulator's latency is no latency, so it is `unjudged`. RunnerFailed when the program did not run both in turns.
    """
    ratios = [latency_ratio(*pair) for pair in zip(now, before, strict=True)]
    entries = [_entry("latency against baseline", ratios, LATENCY, origin)]
    if origin == "emulator":
        why = "measured on an emulator, which says nothing of the device"
        entries = [entries[0].model_copy(update={"verdict": "unjudged", "why": why})]
    peaks = [(a.peak_bytes, b.peak_bytes) for a, b in zip(now, before, strict=True)]
    known = [math.log((a + BLUR) / (b + BLUR)) for a, b in peaks if a and b]
    if len(known) == len(peaks):
        entries.append(_entry("memory against baseline", known, MEMORY, origin))
    return tuple(entries)


def latency_ratio(now: Repeat, before: Repeat) -> float:
    """Return the log ratio (now over before) of one repeat: the medians over neighbouring runs of its two processes.

    Each process begins with another of the two artifacts, so what the first has over the second cancels out.
    """
    if not now.own_ns or not before.own_ns:
        raise RunnerFailed("the runner did not run the two artifacts in turns: it has to know --against (docs/check.md)")
    return (_in_turns(now) - _in_turns(before)) / 2


def _in_turns(repeat: Repeat) -> float:
    pairs = zip(repeat.own_ns, repeat.against_ns, strict=True)
    return median(math.log(max(own, 1) / max(against, 1)) for own, against in pairs)


def _entry(name: str, ratios: Sequence[float], looked_for: float, origin: Origin) -> BudgetEntry:
    found = compare(ratios, looked_for)
    verdicts: dict[Change, Verdict] = {"worse": "failed", "unclear": "unjudged", "same": "passed"}
    why = "the repeats scatter too much to see a change of this size" if found.change == "unclear" else ""
    return BudgetEntry(
        name=name, limit=found.border, unit="ratio", measured=Measured(value=found.ratio, origin=origin),
        verdict=verdicts[found.change], asked="flag", why=why,
    )  # fmt: skip


def _part(manifest: Manifest, path: str) -> object:
    found: object = manifest
    for name in path.split("."):
        found = getattr(found, name)
    return found
