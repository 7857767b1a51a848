"""The rows that moments are taken of are what the flattened weight is multiplied with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.rounding import Statistics, off_diagonal
from sdk.sensitivity.moments import input_rows, second_moments, squares_off_diagonal

LAYERS = {
    "linear": (nn.Linear(12, 5, bias=False), (2, 7, 12)),
    "conv2d": (nn.Conv2d(6, 8, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), (1, 6, 9, 8)),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=2, padding="same", bias=False), (1, 4, 9, 9)),
    "grouped": (nn.Conv2d(6, 9, 3, groups=3, bias=False), (1, 6, 7, 7)),
    "depthwise": (nn.Conv2d(5, 10, 3, padding=1, groups=5, bias=False), (2, 5, 6, 6)),
    "conv1d": (nn.Conv1d(4, 6, 5, stride=2, padding=2, bias=False), (1, 4, 17)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_weight_times_rows_is_the_output(name: str) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    data = torch.randn(shape)
    model = load_model(nn.Sequential(layer), (data,))
    planned = model.inventory.layers[0]
    module = model.module()
    node = next(n for n in module.graph.nodes if n.op == "call_function" and "weight" in str(n.args[1]))
    args = [data, layer.weight, *node.args[2:]]
    with torch.no_grad():
        rows = input_rows(planned, args, 10**6)
        weight = layer.weight.reshape(rows.shape[0], -1, rows.shape[2])
        made = (rows @ weight.transpose(1, 2)).permute(1, 0, 2).reshape(rows.shape[1], -1)
        wanted = layer(data)
        wanted = wanted if name == "linear" else wanted.movedim(1, -1)
    assert torch.allclose(made, wanted.reshape(made.shape), atol=1e-5)


def test_moments_are_means_over_all_samples_and_fewer_rows_are_like_all(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    coarse = [torch.randn(1, 6, 8, 8) for _ in range(4)]
    data = [(t.repeat_interleave(2, 2).repeat_interleave(2, 3),) for t in coarse]  # every second position says it all
    model = load_model(nn.Sequential(nn.Conv2d(6, 4, 1)), data[0])
    samples = take_samples(model, data)
    (name,) = (layer.name for layer in model.inventory.layers)
    monkeypatch.setattr("sdk.sensitivity.moments.TIMES", 1000)
    every = Statistics(parts=second_moments(model, samples)).moments(name)
    monkeypatch.setattr("sdk.sensitivity.moments.ROWS", 4 * 64)
    some = Statistics(parts=second_moments(model, samples)).moments(name)
    assert every is not None and some is not None and every.rows == 4 * some.rows and some.samples == 4
    assert torch.allclose(some.value, every.value, atol=1e-5)


def test_noise_is_what_the_samples_do_not_agree_on() -> None:
    torch.manual_seed(2)
    mixing = torch.randn(24, 24)
    model = load_model(nn.Sequential(nn.Linear(24, 3)), (torch.randn(1, 24),))

    def noise(samples: int, correlated: bool) -> float:
        rows = [torch.randn(1, 24) for _ in range(samples)]
        data = [(row @ mixing if correlated else row,) for row in rows]
        found = Statistics(parts=second_moments(model, take_samples(model, data)))
        moments = found.moments(model.inventory.layers[0].name)
        assert moments is not None
        return moments.noise

    assert noise(1, True) == 1.0
    assert noise(400, True) < 0.1 < noise(8, True)
    assert noise(64, False) > 0.7


def test_synthetic_samples_teach_nothing() -> None:
    model = load_model(nn.Sequential(nn.Linear(4, 3)), (torch.randn(1, 4),))
    assert second_moments(model, take_samples(model, None)) == ()


def test_a_layer_of_few_inputs_needs_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(nn.Sequential(nn.Conv2d(6, 6, 3, groups=6)), (torch.randn(1, 6, 34, 34),))
    samples = take_samples(model, [(torch.randn(1, 6, 34, 34),) for _ in range(4)])
    (name,) = (layer.name for layer in model.inventory.layers)
    monkeypatch.setattr("sdk.sensitivity.moments.TIMES", 64)
    found = Statistics(parts=second_moments(model, samples)).moments(name)
    assert found is not None and found.value.shape == (6, 9, 9)
    assert 64 * 9 // 4 <= found.rows <= 64 * 9


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3), st.integers(0, 2**31))
def test_squares_off_the_diagonal_are_those_of_the_product(n: int, k: int, groups: int, seed: int) -> None:
    rows = torch.randn(groups, n, k, generator=torch.Generator().manual_seed(seed))
    wanted = off_diagonal(rows.transpose(1, 2) @ rows / n)
    assert squares_off_diagonal(rows) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
