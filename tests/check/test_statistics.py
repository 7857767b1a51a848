"""Statistics of samples: laws of quantiles, and the real coverage of their bounds."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.check.statistics import quantile, quantile_bounds, spread, stable

SAMPLES = st.lists(st.integers(1, 10**9), min_size=1, max_size=200)
SHARES = st.sampled_from([0.01, 0.5, 0.9, 0.99])


@given(SAMPLES, SHARES)
def test_a_quantile_is_a_sample_that_enough_others_do_not_exceed(samples: list[int], p: float) -> None:
    found = quantile(samples, p)
    assert found in samples
    assert sum(each <= found for each in samples) >= p * len(samples)
    assert sum(each < found for each in samples) < p * len(samples)


@given(SAMPLES, SHARES)
def test_bounds_hold_the_sample_quantile(samples: list[int], p: float) -> None:
    bounds = quantile_bounds(samples, p)
    assert bounds.low is None or bounds.low <= quantile(samples, p)
    assert bounds.high is None or bounds.high >= quantile(samples, p)
    assert bounds.coverage is None or bounds.coverage >= 0.95


def test_fifty_samples_have_no_upper_bound_of_p99() -> None:
    bounds = quantile_bounds(range(1, 51), 0.99)
    assert bounds.high is None and bounds.coverage is None and bounds.low is not None


@pytest.mark.parametrize("draw", ["lognormal", "uniform", "two peaks"])
def test_bounds_hold_the_true_p90_as_often_as_they_say(draw: str) -> None:
    random = numpy.random.default_rng(7)
    make = {
        "lognormal": lambda n: random.lognormal(0, 1, n),
        "uniform": lambda n: random.random(n),
        "two peaks": lambda n: numpy.where(random.random(n) < 0.8, 1.0, 5.0) + random.random(n),
    }[draw]
    truth = quantile(make(400_000).tolist(), 0.9)
    held = 0
    for _ in range(400):
        bounds = quantile_bounds(make(100).tolist(), 0.9)
        held += bounds.low <= truth <= bounds.high  # type: ignore[operator]
    assert held / 400 >= 0.92  # 0.95 less four standard errors of 400 trials, rounded


def test_repeats_agree_within_five_percent() -> None:
    assert stable([100, 104]) and not stable([100, 106])
    assert spread([4.0]) is None and stable([4.0]) is None
