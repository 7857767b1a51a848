"""A loss of the user's own: its directions have its curvature, and what cannot be one is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from sdk.errors import BadInput
from sdk.sensitivity import OwnLoss, divergence
from sdk.sensitivity.losses import choose_loss, direction

Outputs = tuple[torch.Tensor, ...]


def kl(reference: Outputs, changed: Outputs) -> torch.Tensor:
    return divergence("kl", reference, changed)


def boxes(reference: Outputs, changed: Outputs) -> torch.Tensor:
    """Two outputs that count unequally, one only in part."""
    scores = (reference[0].sigmoid() - changed[0].sigmoid()).square().mean()
    return scores + 5 * (reference[1] - changed[1])[:, :2].square().mean()


@pytest.mark.parametrize(("function", "shapes"), [(kl, [(4, 30)]), (boxes, [(1, 7, 3), (6, 4)])])
def test_half_the_mean_square_along_a_direction_is_the_loss(function: Any, shapes: list[tuple[int, ...]]) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = [torch.randn(shape, generator=generator) for shape in shapes]
    change = [1e-2 * torch.randn(shape, generator=generator) for shape in shapes]
    loss = OwnLoss("own@00000000", function)
    draws = [direction(loss, outputs, generator) for _ in range(2000)]
    squares = [sum(float((r * d).sum()) for r, d in zip(draw, change, strict=True)) ** 2 for draw in draws]
    want = float(divergence(loss, outputs, [y + d for y, d in zip(outputs, change, strict=True)]))
    assert sum(squares) / len(squares) / 2 == pytest.approx(want, rel=0.1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda a, b: (a[0] - b[0]).abs().mean(), "no curvature"),
        (lambda a, b: (a[0] - b[0]).square().sum().sqrt(), "no curvature"),
        (lambda a, b: b[0].square().mean(), "must be 0"),
        (lambda a, b: (a[0] - b[0]).square().sum().item(), "returned float"),
        (lambda a, b: (a[0] - b[0]).square(), r"returned float32 of shape \[2, 5\]"),
        (lambda a, b: (a[0] - b[0]).square().mean().detach(), "no gradient"),
        (lambda a, b: a[3], "failed: IndexError"),
    ],
)
def test_what_cannot_be_a_loss_is_refused(function: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        choose_loss(OwnLoss("own@00000000", function), None, (torch.randn(2, 5),))  # type: ignore[arg-type]


def test_a_loss_goes_to_other_processes() -> None:
    found = pickle.loads(pickle.dumps(OwnLoss("own@00000000", boxes)))
    assert found == "own@00000000" and found.function is boxes
