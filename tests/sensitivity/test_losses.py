"""Losses in float32, which is all that gradients need, against float64."""

from __future__ import annotations

import pytest
import torch

from sdk.sensitivity import divergence


@pytest.mark.parametrize("loss", ["kl", "kl_probabilities", "cosine", "mse"])
def test_gradients_in_float32_are_those_in_float64(loss: str) -> None:
    generator = torch.Generator().manual_seed(0)
    want = torch.randn(8, 2000, generator=generator)
    near = want + 0.1 * torch.randn(8, 2000, generator=generator)
    if loss == "kl_probabilities":
        want, near = want.softmax(1), near.softmax(1)
    slopes = []
    for exact in (True, False):
        got = near.clone().requires_grad_()
        divergence(loss, (want,), (got,), exact=exact).backward()
        slopes.append(got.grad)
    assert torch.nn.functional.cosine_similarity(slopes[0].flatten(), slopes[1].flatten(), dim=0) > 0.9999
    assert slopes[1].norm() == pytest.approx(float(slopes[0].norm()), rel=1e-3)
