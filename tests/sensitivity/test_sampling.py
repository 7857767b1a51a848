"""Some output channels of a big layer stand for all: likelier where they count, and weighed by how likely they were."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.models import Model
from sdk.models.load import load_model
from sdk.models.samples import Samples, take_samples
from sdk.schemes import all_schemes
from sdk.sensitivity import sampling, score, take_statistics

SCHEMES = [all_schemes()[n] for n in ("int8_channel", "int4_channel_dynamic", "int4_g32", "lut4", "lut2_gc16", "lut2_scaled")]
CLASSES, WORDS = 1024, 1536


class _Text(nn.Module):
    """Words of which most never occur, and more outputs than any input calls for."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.middle, self.head = nn.Embedding(WORDS, 64), nn.Linear(64, 960), nn.Linear(960, CLASSES)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.middle(self.embed(tokens))))


@pytest.fixture(scope="module")
def text() -> tuple[Model, Samples]:
    torch.manual_seed(0)
    network = _Text().eval()
    with torch.no_grad():
        network.head.weight.mul_(torch.logspace(0.5, -1, CLASSES)[torch.randperm(CLASSES)].unsqueeze(1))
    data = [(torch.randint(0, 200, (1, 12)),) for _ in range(24)]
    model = load_model(network, data[0])
    return model, take_samples(model, data)


def test_a_sample_scores_as_all_channels_do(text: tuple[Model, Samples], monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = text
    statistics = take_statistics(model, samples, "kl")
    wanted = {layer.name: SCHEMES for layer in model.inventory.layers}
    whole = score(model, wanted, samples, "kl", draws=6, statistics=statistics).values
    monkeypatch.setattr(sampling, "WHOLE", 0)
    monkeypatch.setattr(sampling, "TAKEN", 0)
    assert all(sampling.scored(layer) < 0.6 * layer.parameters for layer in model.inventory.layers)
    some = score(model, wanted, samples, "kl", draws=6, statistics=statistics).values
    ratios = {(n, s): some[n][s] / v for n, each in whole.items() for s, v in each.items()}
    assert all(0.65 < ratio < 1.5 for ratio in ratios.values()), ratios
    assert 0.9 < torch.tensor(list(ratios.values())).log().mean().exp() < 1.1


def test_channels_are_taken_in_whole_runs_as_often_as_they_count(
    text: tuple[Model, Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, samples = text
    monkeypatch.setattr(sampling, "WHOLE", 0)
    monkeypatch.setattr(sampling, "TAKEN", 0)
    importance = take_statistics(model, samples, "kl").importance
    for layer in model.inventory.layers:
        weight = model.module().get_parameter(layer.weights[0])
        channels, likely = sampling.sampled(layer, weight, importance[layer.weights[0]])
        runs = channels.reshape(-1, sampling.RUN)
        assert len(channels) <= sampling.RUN * sampling.RUNS and bool((likely > 0).all() and (likely <= 1).all())
        assert torch.equal(runs[:, 0] % sampling.RUN, torch.zeros(len(runs))) and bool((runs.diff(dim=1) == 1).all())
        loss = (importance[layer.weights[0]].double() * weight.detach().double().square()).sum(1)
        assert float((loss[channels] / likely).sum() / loss.sum()) == pytest.approx(1, abs=0.1)
    words = importance["embed.weight"].sum(1) > 0
    embed = model.module().get_parameter("embed.weight")
    rows, certain = sampling.sampled(model.inventory.layers[0], embed, importance["embed.weight"])
    assert torch.equal(torch.where(words)[0], rows[words[rows]]) and bool((certain == 1).all())  # 13 runs hold every word


def test_every_row_that_is_looked_up_counts_whether_a_sample_with_importance_had_it_or_not(
    text: tuple[Model, Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "WHOLE", 0)
    layer = text[0].inventory.layers[0]
    embed, importance, read = torch.rand(WORDS, 64), torch.zeros(WORDS, 64), torch.zeros(WORDS, dtype=torch.bool)
    importance[:40], read[:200] = 1.0, True
    rows, likely = sampling.sampled(layer, embed, importance, read)
    assert likely is None and len(rows) == 208 and int(read[rows].sum()) == 200
    read[:1200] = True
    rows, likely = sampling.sampled(layer, embed, importance, read)
    assert len(rows) <= sampling.RUN * sampling.RUNS and int((rows > 200).sum()) > 200 and bool((likely > 0).all())
