"""Layers that are rounded in order lose less together than layers that are rounded for themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.models import Model
from sdk.models.load import load_model
from sdk.models.samples import Samples, take_samples
from sdk.quantize import quantize, reference, walk, walkable
from sdk.schemes import scheme_named
from sdk.sensitivity import measure, take_statistics
from sdk.sensitivity.ranges import calibrate_ranges


def _deep(depth: int = 10) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(24, 24, 3, 1, 1, groups=24, bias=False), nn.ReLU(), nn.Conv2d(24, 24, 1, bias=False), nn.ReLU()]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 8)).eval()


def _images(count: int, seed: int) -> list[tuple[torch.Tensor]]:
    """Mixtures of four pictures, as real data has few directions too."""
    pictures = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(seed)
    return [(torch.einsum("p,pcij->cij", torch.randn(4, generator=generator), pictures)[None],) for _ in range(count)]


def _loaded(module: nn.Module, data: list[tuple[torch.Tensor, ...]]) -> tuple[Model, Samples]:
    model = load_model(module, data[0])
    return model, take_samples(model, data)


def _lost(model: Model, run: object, data: list[tuple[torch.Tensor, ...]]) -> float:
    module = model.module()
    with torch.no_grad():
        return sum(measure("mse", tuple(module(*x)), run(*x)) for x in data) / len(data)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("schemes", "most"), [(["lut2"], 0.75), (["int4_channel"], 0.75), (["int8_channel_static", "lut3"], 1.2)]
)
def test_a_deep_network_loses_less(schemes: list[str], most: float) -> None:
    model, samples = _loaded(_deep(), _images(32, 1))
    chosen = {layer.name: scheme_named(schemes[n % len(schemes)]) for n, layer in enumerate(model.inventory.layers)}
    ranges = calibrate_ranges(model, model.inventory.layers, samples)
    statistics = take_statistics(model, samples, "mse")
    alone = quantize(model, chosen, ranges, statistics)
    together = quantize(model, chosen, ranges, statistics, samples)
    unseen = _images(16, 2)
    before, after = (_lost(model, reference(each), unseen) for each in (alone, together))
    assert after < most * before
    assert together.schemes == alone.schemes and set(together.grids) == set(alone.grids)
    again = quantize(model, chosen, ranges, statistics, samples)
    for name, grids in again.grids.items():
        assert torch.equal(grids[0].dequantize(), together.grids[name][0].dequantize())


class _Mixed(nn.Module):
    """Tied weights, an embedding, a recurrence, a transposed convolution and a float layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.table = nn.Embedding(20, 16)
        self.twice = nn.Linear(16, 16)
        self.memory = nn.LSTM(16, 16, batch_first=True)
        self.wide = nn.ConvTranspose1d(16, 8, 4, 2)
        self.narrow = nn.Conv1d(8, 8, 3, padding="same", groups=2)
        self.last = nn.Linear(8, 20)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.twice(torch.relu(self.twice(self.table(tokens))))
        x = self.narrow(self.wide(self.memory(x)[0].transpose(1, 2)))
        return self.last(x.transpose(1, 2))  # type: ignore[no-any-return]


def test_every_kind_of_layer_gets_its_grid() -> None:
    generator = torch.Generator().manual_seed(3)
    data = [(torch.randint(0, 20, (1, 9), generator=generator),) for _ in range(12)]
    model, samples = _loaded(_Mixed().eval(), data)
    schemes = {layer.name: scheme_named("int8_channel") for layer in model.inventory.layers}
    schemes["last"] = scheme_named("fp32")
    made = quantize(model, schemes, {}, take_statistics(model, samples, "mse"), samples)
    assert set(made.grids) == set(schemes)
    assert torch.equal(made.grids["last"][0].dequantize(), model.module().get_parameter("last.weight").detach())
    assert _lost(model, reference(made), data) < 1e-3


def test_only_given_samples_and_models_that_fit_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = _loaded(_deep(1), _images(4, 1))
    assert walkable(model, samples)
    assert not walkable(model, None) and not walkable(model, take_samples(model, None))
    monkeypatch.setattr("sdk.rounding.layer.LARGEST", 100)
    assert not walkable(model, samples)


def test_large_activations_are_walked_on_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = _loaded(_deep(1), _images(8, 1))
    schemes = {layer.name: scheme_named("int4_channel") for layer in model.inventory.layers}
    monkeypatch.setattr(walk, "HELD", 1)
    made = quantize(model, schemes, {}, take_statistics(model, samples, "mse"), samples)
    assert set(made.grids) == set(schemes)


def test_some_samples_are_a_fixed_choice_in_order() -> None:
    _, samples = _loaded(_deep(1), _images(10, 1))
    chosen = samples.some(4)
    places = [next(i for i, each in enumerate(samples.inputs) if each is one) for one in chosen]
    assert len(chosen) == 4 and places == sorted(places) and places != [0, 1, 2, 3]
    assert samples.some(99) == list(samples.inputs)


def test_samples_that_judge_are_spread_over_the_parts_of_all() -> None:
    _, samples = _loaded(_deep(1), _images(40, 1))
    chosen = samples.spread(8, 4)
    places = [next(i for i, each in enumerate(samples.inputs) if each is one) for one in chosen.inputs]
    assert [place // 10 for place in places] == [0, 0, 1, 1, 2, 2, 3, 3] and places == sorted(places)
    assert chosen.digest == samples.digest and samples.spread(40, 4) is samples
