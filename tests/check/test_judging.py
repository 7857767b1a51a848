"""How far outputs may lie from the recorded ones: a fixed share, or what rounding alone makes of the model."""

from __future__ import annotations

import pytest

from sdk.check.judging import Grounds, judge, output_limit
from sdk.check.result import BudgetEntry, Interval, Latency, Measured


def outputs(error: float | None, floor: float | None) -> BudgetEntry:
    one = Measured(value=1.0, origin="device")
    bounds = Interval(low=1, high=1, confidence=0.95, coverage=None, origin="device")
    times = Latency(p50_ms=one, p90_ms=one, p99_ms=one, p90_interval_ms=bounds, runs=9, spread=0.0, stability="stable")
    found = judge([], times, one, Measured(value=error, origin="device"), Grounds(outputs=output_limit(floor)))
    return found[0]


@pytest.mark.parametrize(
    ("error", "floor", "verdict", "words"),
    [
        (0.0, 0.0, "passed", ""),
        (9e-5, None, "passed", ""),
        (2e-4, 1e-6, "failed", "not those"),
        (8e-4, 1.6e-3, "passed", "rounding alone moves this model's outputs by 1.6e-03"),
        (4e-3, 1.6e-3, "failed", "not those"),
        (None, 1.0, "failed", "not those"),
    ],
)
def test_rounding_is_no_other_output(error: float | None, floor: float | None, verdict: str, words: str) -> None:
    found = outputs(error, floor)
    assert found.verdict == verdict and words in found.why and bool(words) == bool(found.why)
