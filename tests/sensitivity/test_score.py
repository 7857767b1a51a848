"""The one-pass estimate agrees with changing one layer at a time and measuring."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from sdk.models import Layer
from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize, reference
from sdk.rounding import lies_on
from sdk.schemes import Scheme, all_schemes
from sdk.sensitivity import Scoring, choose_loss, measure, score, take_statistics
from sdk.sensitivity.losses import direction
from sdk.sensitivity.ranges import calibrate_ranges
from tests.rounding.test_lattice import on_grid

SCHEMES = [all_schemes()[n] for n in ("int8_channel", "int4_channel", "int4_channel_dynamic", "int8_channel_static")]


def _network(last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 32, 3),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10), last,
    ).eval()


class _Unit(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x, dim=-1)


@pytest.mark.parametrize(("loss", "last"), [("kl", nn.Identity()), ("cosine", _Unit()), ("mse", nn.Identity())])
def test_estimate_ranks_and_scales_as_measured(loss: str, last: nn.Module) -> None:
    network = _network(last)
    generator = torch.Generator().manual_seed(5)
    data = [(torch.randn(1, 3, 24, 24, generator=generator),) for _ in range(24)]
    model = load_model(network, data[0])
    samples = take_samples(model, data)
    layers = model.inventory.layers
    ranges = calibrate_ranges(model, layers, samples)
    statistics = take_statistics(model, samples, loss)
    wanted = {layer.name: SCHEMES for layer in layers}
    found = score(model, wanted, samples, loss, draws=8, ranges=ranges, statistics=statistics)
    estimated, measured = [], []
    module = model.module()
    for layer in layers:
        for scheme in SCHEMES:
            changed = reference(quantize(model, {layer.name: scheme}, ranges, statistics))
            with torch.no_grad():
                losses = [measure(loss, tuple(module(*s)), changed(*s)) for s in samples.inputs]
            measured.append(sum(losses) / len(losses))
            estimated.append(found.values[layer.name][scheme.name])
    assert spearmanr(estimated, measured).statistic > 0.9
    ratio = torch.tensor(measured).div(torch.tensor(estimated)).median()
    assert 0.5 < float(ratio) < 2


def test_directions_have_the_curvature_of_the_loss() -> None:
    logits = torch.tensor([[1.0, -0.5, 0.2, 2.0]])
    p = torch.softmax(logits, 1)[0]
    generator = torch.Generator().manual_seed(6)
    draws = torch.cat([direction("kl", (logits,), generator)[0] for _ in range(20000)])
    fisher = torch.diag(p) - torch.outer(p, p)
    assert torch.allclose(draws.T @ draws / len(draws), fisher, atol=0.01)


def test_weights_that_a_scheme_holds_are_not_rounded_and_score_the_same() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    network[0].weight.data = on_grid(1, 32, -7, 7, 128, 64)
    network[2].weight.data = on_grid(2, 64, -7, 7, 64, 64)
    data = [(torch.randn(1, 128),) for _ in range(8)]
    model = load_model(network, data[0])
    samples = take_samples(model, data)
    dynamic = all_schemes()["int4_g32_dynamic"]
    wanted = {layer.name: [dynamic, all_schemes()["int4_channel_dynamic"]] for layer in model.inventory.layers}
    wanted["0"] = [dynamic]

    def holds(layer: Layer, scheme: Scheme) -> bool:
        return lies_on(model.module().get_parameter(layer.weights[0]), scheme, layer.channel_axis)

    statistics = take_statistics(model, samples, "mse")
    plain, spared = (Scoring(model, wanted, samples, "mse", 2, {}, statistics, *more) for more in ((), (holds,)))
    assert [holds(layer, dynamic) for layer in model.inventory.layers] == [True, True, False]
    for chunk in plain.chunks:
        want, found = plain.score(chunk), spared.score(chunk)
        assert all(abs(found[n][s] - v) <= 1e-5 * v for n, each in want.items() for s, v in each.items())


def test_the_loss_is_assumed_from_the_output() -> None:
    data = (torch.randn(1, 3, 24, 24),)
    for last, wanted in ((nn.Identity(), "kl"), (_Unit(), "cosine"), (nn.Softmax(1), "kl_probabilities"), (nn.Sigmoid(), "mse")):
        model = load_model(_network(last), data)
        assert choose_loss("auto", model, model.module()(*data)) == (wanted, True)


def test_outputs_of_several_sorts_are_judged_by_squared_error() -> None:
    """A divergence of probabilities sees nothing of boxes: softmax forgets a shift, and negative coordinates count as none."""
    data = (torch.randn(1, 3, 24, 24),)
    for last in (nn.Identity(), nn.Softmax(1)):
        model = load_model(_WithBoxes(_network(last)), data)
        assert choose_loss("auto", model, model.module()(*data)) == ("mse", True)


class _WithBoxes(nn.Module):
    """Class scores beside corners of boxes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(image), image.mean(1)[:, :6, :4] - 0.5


class _Smooth(nn.Module):
    """Static layers whose outputs no layer reads: a smooth function, a sum and the caller do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 1), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(self.first(x))
        x = x + self.second(x)
        result: torch.Tensor = self.last(x.mean((2, 3)))
        return result


def test_what_a_static_layer_loses_in_its_output_counts() -> None:
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(5)
    data = [(torch.randn(1, 3, 12, 12, generator=generator),) for _ in range(48)]
    model = load_model(_Smooth().eval(), data[0])
    samples, static = take_samples(model, data), all_schemes()["int8_channel_static"]
    ranges = calibrate_ranges(model, model.inventory.layers, samples)
    statistics = take_statistics(model, samples, "mse")
    wanted = {layer.name: [static] for layer in model.inventory.layers}
    found = score(model, wanted, samples, "mse", draws=8, ranges=ranges, statistics=statistics).values
    module = model.module()
    with torch.no_grad():
        for layer in model.inventory.layers:
            run = reference(quantize(model, {layer.name: static}, ranges, statistics))
            lost = sum(measure("mse", tuple(module(*x)), run(*x)) for x in data) / len(data)
            assert 1 / 1.5 < found[layer.name][static.name] / lost < 1.5, layer.name
