"""Losses of changes that are not small: the response of a divergence to noise on the logits."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdk.sensitivity import Response, response

SURE = torch.tensor([[12.0, 0.0, 1.0], [9.0, -1.0, 0.0], [0.0, 14.0, 2.0]])
UNSURE = torch.tensor([[0.5, 0.0, 1.0], [0.2, -0.3, 0.0], [0.0, 0.6, 0.2]])


def divergence(logits: torch.Tensor, noise: torch.Tensor) -> float:
    p, q = torch.log_softmax(logits.double(), 1), torch.log_softmax(logits.double() + noise, 1)
    return float((p.exp() * (p - q)).sum(1).mean())


def curvature(logits: torch.Tensor) -> float:
    p = torch.softmax(logits.double(), 1)
    return float((1 - p.square().sum(1)).mean())


@pytest.mark.parametrize("logits", [SURE, UNSURE])
@pytest.mark.parametrize("deviation", [0.1, 1.0, 3.0])
def test_the_divergence_under_noise_is_foretold_by_its_curvature(logits, deviation):
    rows = logits.repeat(20_000, 1)
    real = divergence(rows, deviation * torch.randn(rows.shape, dtype=torch.float64))
    quadratic = deviation**2 / 2 * curvature(logits)
    found = response("kl", [[logits]]).loss(quadratic)
    assert found == pytest.approx(real, rel=0.5)
    if logits is SURE and deviation > 1:
        assert real > 10 * quadratic, "or there were nothing to foretell"


def test_probabilities_are_those_of_logits():
    logits = response("kl", [[SURE]])
    found = response("kl_probabilities", [[torch.softmax(SURE.double(), 1)]])
    assert found.losses == pytest.approx(logits.losses, rel=1e-3)


def test_a_small_loss_is_the_sum_and_so_is_any_that_is_quadratic():
    assert response("kl", [[SURE]]).loss(1e-12) == pytest.approx(1e-12, rel=0.02)
    assert response("mse", [[SURE]]) == response("cosine", [[SURE]]) == Response()
    assert Response().loss(3.0) == Response().total(3.0) == 3.0


def test_integers_have_no_logits():
    assert response("kl", [[torch.arange(3)]]) == Response()


found = response("kl", [[SURE]])
numbers = st.floats(1e-12, 1e3)


@given(numbers, numbers)
def test_it_rises(one, other):
    low, high = sorted((one, other))
    assert found.loss(low) <= found.loss(high)


@given(numbers)
def test_a_limit_is_never_exceeded_and_that_of_a_sum_allows_it(number):
    assert found.loss(found.total(number)) <= number
    assert found.total(found.loss(number)) >= number * (1 - 1e-12)
    assert found.slope(number) > 0


def test_zero_and_infinity_stay():
    assert [found.loss(0.0), found.total(0.0), found.loss(math.inf), found.total(math.inf)] == [0.0, 0.0, math.inf, math.inf]


def test_points_rise():
    assert len(found.sums) > 20
    assert all(a < b for a, b in itertools.pairwise(found.sums))
    assert all(a < b for a, b in itertools.pairwise(found.losses))
