"""Judges one number against an absolute limit and against the baseline's."""

from __future__ import annotations

from collections.abc import Callable

from sdk.config import Allowance, Level
from sdk.release.gate.judgement import Judgement, Verdict

Number = float | int

_TELLING = 1000
"""Percent above which a share says less than the two values."""


def growth(
    rule: str, baseline: Number | None, candidate: Number | None, allowed: Allowance, *, most: Number | None = None,
    floor: float = 0.0, show: Callable[[Number], str] = "{:.4g}".format,
) -> Judgement:
    """Judge a number that should not grow: by more than `allowed` plus `floor`, or above `most`."""
    return _moved(rule, baseline, candidate, allowed, most, floor, show, 1)


def drop(
    rule: str, baseline: Number | None, candidate: Number | None, allowed: Allowance, *, least: Number | None = None,
    floor: float = 0.0, show: Callable[[Number], str] = "{:.4g}".format,
) -> Judgement:
    """Judge a number that should not fall: by more than `allowed` plus `floor`, or below `least`."""
    return _moved(rule, baseline, candidate, allowed, least, floor, show, -1)


def _moved(
    rule: str, baseline: Number | None, candidate: Number | None, allowed: Allowance, limit: Number | None, floor: float,
    show: Callable[[Number], str], sign: int,
) -> Judgement:  # fmt: skip
    if candidate is None:
        verdict: Verdict = "failed" if limit is not None else "unjudged"
        return Judgement(rule, verdict, f"{rule}: the bundle does not say", baseline=baseline, candidate=None)
    if limit is not None and sign * (candidate - limit) > 0:
        word = "above" if sign > 0 else "below"
        bound = f"{'max' if sign > 0 else 'min'}_{rule} {show(limit)}"
        message = f"{rule} {show(candidate)} is {word} {bound}"
        return Judgement(rule, "failed", message, baseline=baseline, candidate=candidate, limit=bound)
    if baseline is None:
        return Judgement(rule, "unjudged", f"{rule}: the baseline does not say", candidate=candidate)
    room = allowed.share * abs(baseline) + allowed.amount + floor
    message = f"{rule} {change(baseline, candidate, show)}, {allowed.text} is allowed"
    verdict = "failed" if sign * (candidate - baseline) > room else "passed"
    return Judgement(rule, verdict, message, baseline=baseline, candidate=candidate, limit=allowed.text)


def change(baseline: Number, candidate: Number, show: Callable[[Number], str]) -> str:
    """Say from what to what, with the share."""
    share = 100 * (candidate - baseline) / abs(baseline) if baseline else 0.0
    return f"{show(baseline)} → {show(candidate)}" + (f" ({share:+.2f} %)" if 0 < abs(share) < _TELLING else "")


def at_level(level: Level) -> Verdict:
    """Return the verdict of a change of kind at this level (never called for `off`)."""
    return "failed" if level == "fail" else "warned"


def show_bytes(value: Number) -> str:
    """Bytes for a sentence."""
    return f"{value:,.0f} bytes"


def show_ms(value: Number) -> str:
    """Milliseconds for a sentence."""
    return f"{value:.3g} ms"
