"""Aiming finds the weight that undoes what happened to the inputs, and leaves the weight where nothing is to be learnt."""

from __future__ import annotations

import pytest
import torch

from sdk.rounding import Drift, Moments, aim, off_diagonal


def _drift(floats: torch.Tensor, hand: torch.Tensor) -> Drift:
    """`floats` and `hand` are [samples, groups, rows, k]."""
    each = hand.transpose(2, 3) @ hand / hand.shape[2]
    squares = sum(off_diagonal(value) for value in each)
    moments = Moments(each.mean(0), len(each), hand.shape[0] * hand.shape[2], squares)
    return Drift(moments, ((floats - hand).transpose(2, 3) @ hand / hand.shape[2]).mean(0))


@pytest.mark.parametrize(("shape", "groups"), [((16, 24), 1), ((12, 4, 3, 3), 3), ((8, 1, 3, 3), 8)])
def test_a_distortion_of_the_inputs_is_undone(shape: tuple[int, ...], groups: int) -> None:
    torch.manual_seed(1)
    weight = torch.randn(shape)
    k = weight[0].numel()
    floats = torch.randn(16, groups, 400, k)
    hand = floats @ (0.7 * torch.eye(k) + 0.2 * torch.randn(k, k) / k**0.5)
    aimed = aim(weight, 0, [_drift(floats[:8], hand[:8]), _drift(floats[8:], hand[8:])])
    assert aimed.shape == weight.shape and aimed.dtype == torch.float32
    wanted = floats @ _columns(weight, groups)
    before, after = ((wanted - hand @ _columns(w, groups)).square().mean() for w in (weight, aimed))
    assert after < 0.05 * before


def test_noise_that_the_halves_do_not_share_is_not_followed() -> None:
    torch.manual_seed(2)
    weight, floats = torch.randn(8, 64), torch.randn(2, 1, 20, 64)
    hand = floats + 0.3 * torch.randn(floats.shape)
    gap = floats - hand
    gap -= 0.08 * floats  # nothing of the noise can be known from the inputs at hand
    halves = [_drift(hand[:1] + gap[:1], hand[:1]), _drift(hand[1:] + gap[1:], hand[1:])]
    moved = (aim(weight, 0, halves) - weight).norm() / weight.norm()
    free = (aim(weight, 0, [halves[0], halves[0]]) - weight).norm() / weight.norm()
    assert moved < 0.5 * free


def test_without_two_halves_the_weight_stays() -> None:
    weight, floats = torch.randn(4, 6), torch.randn(1, 1, 30, 6)
    assert torch.equal(aim(weight, 0, [_drift(floats, 0.5 * floats)]), weight)


def test_inputs_that_are_always_zero_are_no_obstacle() -> None:
    weight, floats = torch.randn(4, 1, 3), torch.randn(8, 4, 30, 3)
    floats[:, 2] = 0
    aimed = aim(weight, 0, [_drift(floats[:4], 0.5 * floats[:4]), _drift(floats[4:], 0.5 * floats[4:])])
    assert torch.isfinite(aimed).all()


def _columns(weight: torch.Tensor, groups: int) -> torch.Tensor:
    return weight.reshape(groups, weight.shape[0] // groups, -1).transpose(1, 2)
