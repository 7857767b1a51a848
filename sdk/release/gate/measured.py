"""Compares what `sdk check` measured of both bundles, so that noise is no regression and a real one is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sdk.check.result import CheckResult, Origin, Repeat
from sdk.config import Allowance
from sdk.release.gate.compare import Number, change
from sdk.release.gate.judgement import Judgement, Verdict
from sdk.release.gate.sides import Sides

CONFIDENCE = 0.99
"""How sure the gate is of a regression before it fails: a false alarm in a hundred rules at most."""

LEAST_REPEATS = 3
"""Fewer repeats on a side say nothing of how much they vary."""


def judge_repeats(
    rule: str, sides: Sides, value: Callable[[Repeat], float | None], allowed: Allowance, most: Number | None,
    show: Callable[[Number], str],
) -> Judgement:
    """Judge a number of each repeat: fails when its centre moved by more than allowed, and by more than the repeats vary.

    The regression must hold at the lower confidence bound of the difference (Hodges and Lehmann 1963: order statistics
    of all pairwise differences). Numbers that are not the device's are unjudged.
    """
    new, old = sides.candidate.check, sides.baseline.check
    missing = _missing(rule, new, old, accepted(sides), most)
    if missing is not None or new is None:
        return missing or Judgement(rule, "unjudged", f"{rule}: no check result was given")
    after, before = _values(new, value), _values(old, value) if old else []
    if not after:
        return Judgement(rule, "failed" if most is not None else "unjudged", f"{rule}: the device does not say")
    centre = _median(after)
    if most is not None and centre > most:
        bound = f"max_{rule} {show(most)}"
        return Judgement(rule, "failed", f"{rule} {show(centre)} is above {bound}", candidate=centre, limit=bound)
    if not before:
        return Judgement(rule, "unjudged", f"{rule}: the baseline has no check result", candidate=centre)
    return _compared(rule, before, after, allowed, show)


def accepted(sides: Sides) -> Origin:
    """Return where a number counts: on the device, and for a bundle that was made for this machine, here."""
    return "host" if sides.candidate.manifest.device == "host" else "device"


def _missing(
    rule: str, new: CheckResult | None, old: CheckResult | None, origin: Origin, most: Number | None
) -> Judgement | None:
    verdict: Verdict = "failed" if most is not None else "unjudged"
    if new is None:
        mend = "run `sdk check BUNDLE --out FILE` and pass --check FILE"
        return Judgement(rule, verdict, f"{rule}: no check result was given; {mend}")
    for which, check in (("", new), (" of the baseline", old)):
        if check is not None and check.origin != origin:
            why = f"measured on {_PLACES[check.origin]}, which says nothing of the {origin}"
            return Judgement(rule, verdict if check is new else "unjudged", f"{rule}{which}: {why}")
        if check is not None and check.other_device:
            why = f"measured on another device: {check.other_device}"
            return Judgement(rule, verdict if check is new else "unjudged", f"{rule}{which}: {why}")
    if old is not None and (old.device.name, old.runner.name, old.protocol) != (new.device.name, new.runner.name, new.protocol):
        return Judgement(rule, verdict, f"{rule}: the two checks ran on other devices, runners or protocols: check both alike")
    return None


_PLACES: dict[Origin, str] = {"host": "the host", "emulator": "an emulator", "device": "a device"}


def _values(check: CheckResult, value: Callable[[Repeat], float | None]) -> list[float]:
    return [found for found in map(value, check.repeats) if found is not None]


def _compared(
    rule: str, before: Sequence[float], after: Sequence[float], allowed: Allowance, show: Callable[[Number], str]
) -> Judgement:
    old, new = _median(before), _median(after)
    room = allowed.share * old + allowed.amount
    said = f"{rule} {change(old, new, show)}, {allowed.text} is allowed"
    low = lowest_difference(before, after)
    if new - old <= room:
        return Judgement(rule, "passed", said, baseline=old, candidate=new, limit=allowed.text)
    if low is None:
        why = f"{said}, but {min(len(before), len(after))} repeats cannot tell a change from noise: use {LEAST_REPEATS} or more"
        return Judgement(rule, "unjudged", why, baseline=old, candidate=new, limit=allowed.text)
    if low <= 0:
        return Judgement(rule, "passed", f"{said}; within the noise", baseline=old, candidate=new, limit=allowed.text)
    message = f"{said}; at least {show(low)} of it is no noise"
    return Judgement(rule, "failed", message, baseline=old, candidate=new, limit=allowed.text)


def lowest_difference(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the lower confidence bound of after - before, None where there are too few repeats to have one.

    The k-th smallest pairwise difference, k from the exact distribution of the Mann-Whitney statistic, at CONFIDENCE
    or at what this number of repeats can show at most.
    """
    if min(len(before), len(after)) < LEAST_REPEATS:
        return None
    differences = sorted(b - a for a in before for b in after)
    return differences[_rank(len(before), len(after))]


def _rank(m: int, n: int) -> int:
    """Index of the k-th smallest difference, k the largest with P(U <= k - 1) <= 1 - CONFIDENCE; the smallest where none is."""
    from math import comb

    counts = _counts(m, n)
    total, reached = comb(m + n, n), 0
    for k, count in enumerate(counts):
        reached += count
        if reached / total > 1 - CONFIDENCE:
            return max(0, k - 1)
    return len(counts) - 1


def _counts(m: int, n: int) -> list[int]:
    """How many orders of m + n values have each Mann-Whitney statistic: the Gaussian binomial's coefficients."""
    found = [1] + [0] * (m * n)
    for i in range(1, n + 1):
        for j in range(m * n, m + i - 1, -1):
            found[j] -= found[j - m - i]
        for j in range(i, m * n + 1):
            found[j] += found[j - i]
    return found


def _median(values: Sequence[float]) -> float:
    from statistics import median

    return float(median(values))
