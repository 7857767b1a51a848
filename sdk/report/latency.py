"""Turns the raw nanoseconds of a check into a distribution that can be drawn: bins up to the 99.5th percentile."""

from __future__ import annotations

from collections.abc import Sequence

from sdk.check import CheckResult, Measured
from sdk.report.data import Bin, Check, Executed, Judged, Number

BINS = 36
SHOWN = 0.995
"""Share of the runs that the bins reach to; a few outliers would else press all others into one bin."""


def check_of(result: CheckResult) -> Check:
    """Return what a report shows of `result`."""
    samples = sorted(ns / 1e6 for repeat in result.repeats for ns in repeat.samples_ns)
    bins, beyond = histogram(samples)
    latency, protocol = result.latency, result.protocol
    return Check(
        on=" · ".join(word for word in (result.device.name or result.device.id, result.device.abi, result.device.os) if word),
        runner=f"{result.runner.name}, {result.runner.runtime or result.target}",
        protocol=f"{protocol.name}: {protocol.repeats} × at least {protocol.runs} runs and {protocol.seconds:g} s",
        origin=result.origin,
        p50=_number(latency.p50_ms, "ms"), p90=_number(latency.p90_ms, "ms"), p99=_number(latency.p99_ms, "ms"),
        first=_number(result.first_ms, "ms"), load=_number(result.load_ms, "ms"),
        peak_memory=_number(result.peak_memory, "bytes"),
        runs=latency.runs, repeats=len(result.repeats), stability=latency.stability,
        bins=bins, beyond=beyond, slowest=samples[-1] if samples else 0.0, verdict=result.verdict,
        budgets=tuple(Judged(b.name, b.limit, b.unit, b.verdict, b.why) for b in result.budgets),
        executed=tuple(
            Executed(kind.name, kind.backend, kind.backend == "LiteRT", kind.count, kind.ns / 1e6, kind.share)
            for kind in (result.profile.kinds if result.profile is not None else ())
        ),
        notes=result.notes,
    )  # fmt: skip


def histogram(samples: Sequence[float]) -> tuple[tuple[Bin, ...], int]:
    """Return bins of equal width over sorted `samples` (ms), and how many lie above the last one."""
    if not samples:
        return (), 0
    low, high = samples[0], samples[min(len(samples) - 1, int(SHOWN * len(samples)))]
    if high <= low:
        return (Bin(low, low, len([s for s in samples if s <= low])),), len([s for s in samples if s > low])
    counts, width = [0] * BINS, (high - low) / BINS
    inside = [s for s in samples if s <= high]
    for sample in inside:
        counts[min(int((sample - low) / width), BINS - 1)] += 1
    bins = tuple(Bin(low + i * width, low + (i + 1) * width, count) for i, count in enumerate(counts))
    return bins, len(samples) - len(inside)


def _number(measured: Measured, unit: str) -> Number:
    return Number(measured.value, unit, measured.origin)
