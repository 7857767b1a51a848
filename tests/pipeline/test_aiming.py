"""After a file that loses too much plans are made for less, and after one far below the limit for as much between."""

from __future__ import annotations

import math

import pytest

from sdk.pipeline.aiming import Aim, Kept


def test_a_file_that_keeps_the_limit_at_once_is_the_one() -> None:
    aim = Aim(0.01, 1.0)
    assert not aim.lost(1e-6, 0.01)
    assert not Aim(math.inf, 1.0).lost(5.0, 0.1)


def test_a_step_too_far_is_taken_back() -> None:
    aim = Aim(0.01, 1.0)
    assert aim.lost(0.03, 0.01)
    assert aim.share == pytest.approx(0.3)
    assert aim.lost(0.001, 0.003)  # keeps it, with nine tenths of the limit to spare
    assert aim.share == pytest.approx(math.sqrt(0.3))
    assert aim.lost(0.012, 0.0055)
    assert 0.3 < aim.share < math.sqrt(0.3)
    assert not aim.lost(0.008, 0.004)


def test_losses_above_the_limit_bring_less_each_time() -> None:
    aim, shares = Aim(0.01, 1.0), [1.0]
    for lost in (0.02, 0.015, 0.011):
        assert aim.lost(lost, 0.009)
        shares.append(aim.share)
    assert shares == sorted(shares, reverse=True)


def test_the_smallest_file_within_the_limit_ships_and_where_none_is_the_closest_if_nobody_asked() -> None:
    files: Kept[str] = Kept()
    files.add("far", 10, 0.5, 0.01)
    files.add("near", 20, 0.02, 0.01)
    assert files.best(strict=False) == "near"
    assert files.best(strict=True) is None
    files.add("within", 40, 0.001, 0.01)
    files.add("smaller", 30, 0.009, 0.01)
    assert files.best(strict=True) == files.best(strict=False) == "smaller"
