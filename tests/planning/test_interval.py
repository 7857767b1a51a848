"""The interval of a mean loss of which few samples carry most."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.planning.interval import carrying, interval

LOSSES = st.lists(st.floats(0, 1e3).filter(lambda x: x == 0 or x > 1e-12), min_size=2, max_size=40)


@given(LOSSES, st.floats(1e-6, 1e6))
def test_it_holds_the_mean_and_scales_with_the_losses(losses: list[float], factor: float) -> None:
    low, high = interval(losses)
    assert 0 <= low <= fmean(losses) * (1 + 1e-9) and fmean(losses) <= high * (1 + 1e-9)
    assert interval([factor * each for each in losses]) == pytest.approx((factor * low, factor * high), rel=1e-6)


@given(LOSSES)
def test_a_loss_is_carried_by_at_least_one_sample_and_at_most_all(losses: list[float]) -> None:
    found = carrying(losses)
    assert found == 0 if not any(losses) else 1 - 1e-9 <= found <= len(losses) * (1 + 1e-9)


def test_where_one_sample_in_twenty_loses_it_covers_what_a_standard_error_misses() -> None:
    """64 samples of which 5 % lose 1 and the others nearly nothing: the true mean is above two standard errors in 1 of 7."""
    generator = np.random.default_rng(0)
    missed, missed_by_error, mean = 0, 0, 0.05 + 0.95e-4
    for _ in range(1000):
        losses = [float(each) for each in np.where(generator.random(64) < 0.05, 1.0, 1e-4)]
        low, high = interval(losses)
        missed += not low <= mean <= high
        missed_by_error += fmean(losses) + 2 * stdev(losses) / 8 < mean
    assert missed <= 50 < 100 < missed_by_error


def test_equal_losses_are_known_well() -> None:
    low, high = interval([0.02] * 64)
    assert low == pytest.approx(0.02) and high < 0.025 and carrying([0.02] * 64) == pytest.approx(64)


def test_what_cannot_be_bounded_is_not() -> None:
    assert interval([0.5]) == (0.5, math.inf) and interval([0.0, 0.0]) == (0.0, 0.0) and interval([1.0, math.inf])[1] == math.inf
