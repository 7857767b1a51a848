"""What the repeats of a check amount to: one result, and the verdict of each budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sdk.check import statistics
from sdk.check.protocols import Protocol
from sdk.check.result import BudgetEntry, Interval, Latency, Measured, Origin, Repeat, Verdict
from sdk.check.runners.runner import Run

RELATIVE_ERROR = 1e-4
"""Largest relative difference from the recorded outputs where rounding alone makes less than that."""
FLOORS = 2.0
"""How many of the model's rounding floors the outputs may differ where that is more, as when a bundle is verified."""
RESIDENT_POINTS = 16
"""Readings of resident memory below which no slope is told."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit in `unit` (`ms` of p90, `bytes` of peak memory) and who asked for it (`flag` or `profile`)."""

    name: str
    limit: float
    unit: Literal["ms", "bytes"]
    asked: Literal["flag", "profile"]


@dataclass(frozen=True, slots=True)
class Grounds:
    """What verdicts rest on: the `accepted` origin of a number, `other` (why this is another device), the limit of outputs.

    Accepted is `device`, or `host` for a bundle that was made for `host`.
    """

    accepted: Origin = "device"
    other: str = ""
    outputs: float = RELATIVE_ERROR


def output_limit(floor: float | None) -> float:
    """Return how far outputs may lie from the recorded ones, relative, where rounding alone moves them by `floor`.

    Another processor rounds the last bit of a float otherwise, and 8-bit activations make whole steps of that, layer after
    layer: an artifact that is right differs by about its model's floor.
    """
    return max(RELATIVE_ERROR, FLOORS * (floor or 0.0))


def relative_error(outputs: Sequence[Any], recorded: Sequence[Any]) -> float:
    """Return ‖outputs - recorded‖ / ‖recorded‖ over all outputs; infinite where number, shape or finiteness differ."""
    import numpy

    if len(outputs) != len(recorded) or any(a.shape != b.shape for a, b in zip(outputs, recorded, strict=True)):
        return float("inf")
    square, norm = 0.0, 0.0
    for got, wanted in zip(outputs, recorded, strict=True):
        square += float(numpy.square(got.astype("float64") - wanted.astype("float64")).sum())
        norm += float(numpy.square(wanted.astype("float64")).sum())
    error = (square / norm) ** 0.5 if norm else square**0.5
    return error if numpy.isfinite(error) else float("inf")


def repeat_of(run: Run, origin: Origin) -> Repeat:
    """Return the repeat that a run was."""
    told = run.transcript
    return Repeat(
        load_ns=told.load_ns, first_ns=told.first_ns, samples_ns=told.samples_ns, base_bytes=told.base_bytes,
        p90_ms=statistics.quantile(told.samples_ns, 0.9) / 1e6, peak_bytes=told.peak_bytes, resident=told.resident,
        own_ns=told.own_ns, against_ns=told.against_ns, origin=origin,
    )  # fmt: skip


def latency(repeats: Sequence[Repeat], origin: Origin) -> Latency:
    """Return the quantiles over the samples of all repeats, the bounds of p90 and whether the repeats agree."""
    samples = [sample for repeat in repeats for sample in repeat.samples_ns]
    bounds = statistics.quantile_bounds(samples, 0.9)
    tails = [repeat.p90_ms for repeat in repeats]
    agree = statistics.stable(tails)
    p50, p90, p99 = (Measured(value=statistics.quantile(samples, p) / 1e6, origin=origin) for p in (0.5, 0.9, 0.99))
    return Latency(
        p50_ms=p50, p90_ms=p90, p99_ms=p99, runs=len(samples),
        p90_interval_ms=Interval(
            low=_ms(bounds.low), high=_ms(bounds.high), confidence=statistics.CONFIDENCE, coverage=bounds.coverage, origin=origin
        ),
        spread=statistics.spread(tails), stability="single" if agree is None else "stable" if agree else "unstable",
    )  # fmt: skip


def drift_of(repeats: Sequence[Repeat], protocol: Protocol, origin: Origin) -> dict[str, Any]:
    """Return the throttling ratio or the leak with its interval, where the protocol measures it."""
    if protocol.drift:
        return {"throttling": Measured(value=statistics.throttling(repeats[0].samples_ns), origin=origin)}
    points = repeats[0].resident
    if not protocol.leaks or len(points) < RESIDENT_POINTS:
        return {}
    per_thousand = 1000 * len(points) / protocol.runs
    slope, low, high = (value * per_thousand for value in statistics.slope(points))
    return {
        "leak": Measured(value=slope, origin=origin),
        "leak_interval": Interval(low=low, high=high, confidence=statistics.CONFIDENCE, coverage=None, origin=origin),
    }


def judge(
    budgets: Sequence[Budget], found: Latency, memory: Measured, error: Measured, grounds: Grounds
) -> tuple[BudgetEntry, ...]:
    """Return the verdict of each budget, and of the outputs, which count wherever they were computed."""
    measured = {"ms": found.p90_ms, "bytes": memory}
    return (_outputs(error, grounds.outputs), *(_judged(budget, measured[budget.unit], found, grounds) for budget in budgets))


def _outputs(error: Measured, limit: float) -> BudgetEntry:
    verdict: Verdict = "passed"
    why = ""
    if error.value is None or error.value > limit:
        verdict, why = "failed", "the outputs are not those that the bundle recorded"
    elif error.value > RELATIVE_ERROR:
        why = f"rounding alone moves this model's outputs by {limit / FLOORS:.1e} (rounding_floor)"
    return BudgetEntry(name="outputs", limit=limit, unit="relative", measured=error, verdict=verdict, asked="sdk", why=why)


def _judged(budget: Budget, measured: Measured, found: Latency, grounds: Grounds) -> BudgetEntry:
    verdict, why = _verdict(budget, measured, found, grounds.accepted)
    if grounds.other and measured.origin == grounds.accepted:
        verdict, why = "unjudged", grounds.other
    return BudgetEntry(
        name=budget.name, limit=budget.limit, unit=budget.unit, measured=measured, verdict=verdict, asked=budget.asked, why=why
    )


def _verdict(budget: Budget, measured: Measured, found: Latency, accepted: Origin) -> tuple[Verdict, str]:
    if measured.value is None:
        return "unjudged", "the device does not say"
    if measured.origin != accepted:
        return "unjudged", f"measured on {_place(measured.origin)}, which says nothing of the device"
    if budget.unit == "ms" and found.stability == "unstable":
        return "failed", f"the repeats lie {100 * (found.spread or 0):.0f} % apart: unstable, so no number stands for the device"
    return ("passed", "") if measured.value <= budget.limit else ("failed", "")


def _place(origin: Origin) -> str:
    return {"host": "this machine", "emulator": "an emulator", "device": "the device"}[origin]


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e6
