"""The summary in plain language: one headline, and one sentence for each thing that a reader has to know."""

from __future__ import annotations

from collections.abc import Sequence

from sdk.report.data import Check, Figure, Metric, Number, Parity, State, Statement
from sdk.report.numbers import MEANING, shown
from sdk.units import format_size

ORIGINS = {
    "predicted": "computed before the file was made",
    "host": "measured by the file's own runtime on the machine that packaged it",
    "evaluator": "measured by a reference evaluator that reads the file's bytes",
    "emulator": "measured on an emulated processor: right for numerics, meaningless for speed",
    "device": "measured on the device",
}
"""What each origin of a number means."""

REPEATS = {"stable": "repeats agree", "unstable": "repeats disagree", "single": "one repeat only"}
"""What each stability of a check means."""


def overall(states: Sequence[State]) -> str:
    """Return the sentence above several bundles."""
    bad = sum(state == "bad" for state in states)
    if bad:
        return f"{len(states)} bundles, {bad} of them {'needs' if bad == 1 else 'need'} a look"
    return f"{len(states)} bundles, all good" if len(states) > 1 else "1 bundle, all good"


def headline(
    device: str, size: Figure, quality: Figure, metric: Metric | None, said: Sequence[Statement]
) -> tuple[str, State]:
    """Return the one sentence above everything else, and whether all that could be judged is good."""
    bad = [each.about for each in said if each.state == "bad"]
    measured = format_size(int(size.measured.value or 0))
    if size.limit is None:
        start = f"{measured} for {device}"
    else:
        fits = "Fits" if "size" not in bad else "Does not fit"
        start = f"{fits} {device}: {measured} of {format_size(int(size.limit))}"
    both = (quality.measured,) if quality.high is None else (quality.measured, quality.predicted)
    lost = max(both, key=lambda each: each.value or 0)
    parts = [start, f"loss {_loss(lost)}"]
    if metric is not None and metric.artifact.value is not None:
        parts.append(f"{metric.name} {shown(metric.artifact.value)}" + _beside(metric))
    return "; ".join(parts), "bad" if bad else "good"


def statements(
    device: str, float_bytes: int, size: Figure, quality: Figure, loss: str, metric: Metric | None, parity: Parity,
    checks: Sequence[Check],
) -> tuple[Statement, ...]:
    """Return the sentences of the summary, in the order in which people ask."""
    return (
        _size(float_bytes, size),
        _quality(quality, loss),
        *([_metric(metric)] if metric is not None else []),
        _parity(parity),
        *([_latency(check) for check in checks] or [_untimed(device)]),
    )


def _size(float_bytes: int, size: Figure) -> Statement:
    value = int(size.measured.value or 0)
    times = f"; the float weights alone had {format_size(float_bytes)}, {float_bytes / value:.1f} times that" if value else ""
    if size.limit is None:
        return Statement("size", "open", f"The file has {format_size(value)}; no budget was set{times}.", size.measured.origin)
    budget, share = format_size(int(size.limit)), shown(value / size.limit, "share")
    text = f"The file has {format_size(value)}, {share} of the budget of {budget}{times}."
    return Statement("size", "good" if value <= size.limit else "bad", text, size.measured.origin)


def _quality(quality: Figure, loss: str) -> Statement:
    value = quality.measured.value
    text, predicted = f"Its answers lose {_loss(quality.measured)}", quality.predicted.value
    if quality.high is not None and predicted is not None:
        text += (
            f" on the samples that rounded it and {shown(predicted)} ({shown(quality.low)} to {shown(quality.high)}) on samples "
            "that did not"
        )
        value = None if value is None else max(value, predicted)
    meaning = f" ({MEANING[loss]})" if loss in MEANING else ""
    if quality.limit is None or value is None:
        return Statement("loss", "open", f"{text}; no limit was set{meaning}.", quality.measured.origin)
    within = value <= quality.limit
    side = "within" if within else "above"
    return Statement("loss", "good" if within else "bad", f"{text}, {side} the limit of {shown(quality.limit)}{meaning}.",
                     quality.measured.origin)  # fmt: skip


def _metric(metric: Metric) -> Statement:
    got = shown(metric.artifact.value)
    text = f"The app's own measure, {metric.name}, is {got} with this file{_beside(metric)}; higher is better."
    return Statement("metric", "open", text, metric.artifact.origin)


def _beside(metric: Metric) -> str:
    value = metric.float_model.value
    return f" (float model {shown(value)})" if value is not None else ""


def _parity(parity: Parity) -> Statement:
    error = parity.error.value
    good = error is not None and error <= parity.limit
    verb = "computes what was planned" if good else "does not compute what was planned"
    differ = f"its answers differ from the quantized model's by {shown(error)} relative, {shown(parity.limit)} allowed"
    text = f"The file {verb}: {differ}."
    return Statement("parity", "good" if good else "bad", text, parity.error.origin)


def _latency(check: Check) -> Statement:
    p90 = shown(check.p90.value, "ms")
    states: dict[str, State] = {"passed": "good", "failed": "bad"}
    text = f"9 of 10 runs take at most {p90} on {check.on} ({check.runs:,} runs, {REPEATS[check.stability]})."
    if check.origin != "device":
        text += " This says nothing of the phone's speed."
    return Statement("latency", states.get(check.verdict, "open"), text, check.origin)


def _untimed(device: str) -> Statement:
    return Statement("latency", "open", f"Not timed yet: `sdk check` measures latency and memory on {device}.", "")


def _loss(number: Number) -> str:
    unit = number.unit if number.unit == "nats" else f"({number.unit})"
    return f"{shown(number.value)} {unit}"
