"""The program for boards keeps its own memory still, and every other sample where there are too many."""

from __future__ import annotations

import itertools
from array import array
from types import SimpleNamespace

import pytest

from sdk.check.programs import measure


@pytest.mark.parametrize(("runs", "kept", "stride"), [(7, 7, 1), (8, 4, 2), (15, 4, 4)])
def test_samples_thin_out_where_they_would_not_fit(
    monkeypatch: pytest.MonkeyPatch, runs: int, kept: int, stride: int
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: next(ticks))
    samples = array("q", bytes(8 * 8))
    outputs, found, every, points = measure.timed(lambda given: given, [1], SimpleNamespace(runs=runs, seconds=0), samples)
    assert (outputs, every) == ([1], stride) and len(points) == runs
    assert found == sum(number % stride == 0 for number in range(runs)) == kept
    assert list(samples[:found]) == [1] * found
