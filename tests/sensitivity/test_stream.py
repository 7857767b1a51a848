"""A model that is differentiated in segments has the statistics and scores that it has as a whole."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from sdk.errors import BadInput
from sdk.models import Model
from sdk.models.load import load_model
from sdk.models.samples import Samples, take_samples
from sdk.schemes import all_schemes
from sdk.sensitivity import score, take_statistics
from sdk.sensitivity.ranges import calibrate_ranges
from sdk.sensitivity.segments import cut
from sdk.sensitivity.stream import Stream

SCHEMES = [all_schemes()[n] for n in ("int8_channel", "int4_channel", "int4_channel_dynamic", "int8_channel_static", "fp16")]


class _Decoder(nn.Module):
    """Two layers with a mask, and rotary-like tables that depend on no input."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.layers = nn.ModuleList(nn.ModuleList(nn.Linear(32, 32) for _ in range(6)) for _ in range(2))
        self.head = nn.Linear(32, 50, bias=False)
        self.register_buffer("turns", torch.linspace(0, 1, 32))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        tables = torch.cos(torch.arange(tokens.shape[1]).unsqueeze(1) * self.turns)
        ahead = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
        for q, k, v, o, up, down in self.layers:
            a = nn.functional.scaled_dot_product_attention(q(x) * tables, k(x) * tables, v(x), attn_mask=ahead)
            x = x + o(a)
            x = x + down(nn.functional.silu(up(x)))
        return self.head(x)


class _Residual(nn.Module):
    """Convolutions around which others lead, over several segments."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8 if i else 3, 8, 3, padding=1) for i in range(5))
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = x = self.convs[0](x).relu()
        for conv in self.convs[1:]:
            x = x + conv(x).relu()
        return self.head((x + first).mean((2, 3)))


class _Twice(nn.Module):
    """Two outputs, the first of them made early; one weight is used at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.middle, self.last = (nn.Linear(12, 12) for _ in range(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        early = self.first(x)
        return early, self.last(self.shared(self.middle(self.shared(early.relu())).relu()))


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.lstm, self.last = nn.Linear(6, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(self.first(x))[0])


CASES: dict[str, tuple[Any, Any, int]] = {
    "decoder": (_Decoder, lambda: torch.randint(0, 50, (1, 7)), 9), "residual": (_Residual, lambda: torch.randn(1, 3, 8, 8), 5),
    "twice": (_Twice, lambda: torch.randn(3, 12), 3), "recurrent": (_Recurrent, lambda: torch.randn(1, 5, 6), 3),
}  # fmt: skip


def _loaded(name: str) -> tuple[Model, Samples]:
    torch.manual_seed(3)
    make, draw, _ = CASES[name]
    data = [(draw(),) for _ in range(6)]
    model = load_model(make().eval(), data[0])
    return model, take_samples(model, data)


def _found(model: Model, samples: Samples) -> tuple[Any, Any]:
    ranges = calibrate_ranges(model, model.inventory.layers, samples)
    statistics = take_statistics(model, samples, "kl")
    wanted = {layer.name: SCHEMES for layer in model.inventory.layers}
    return statistics, score(model, wanted, samples, "kl", ranges=ranges, statistics=statistics).values


@pytest.mark.parametrize("name", CASES)
def test_segments_find_what_the_whole_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = _loaded(name)
    statistics, scores = _found(model, samples)
    monkeypatch.setattr("sdk.sensitivity.statistics.HELD_STATISTICS", 1)
    monkeypatch.setattr(import_module("sdk.sensitivity.score"), "MEMORY", 1)
    in_segments, scored = _found(model, samples)
    assert set(in_segments.importance) == set(statistics.importance)
    for weight, want in statistics.importance.items():
        assert torch.allclose(in_segments.importance[weight].float(), want.float(), rtol=1e-2, atol=1e-12)  # bfloat16
    for layer in model.inventory.layers:
        pairs = list(zip(in_segments.of_parts(layer.name), statistics.of_parts(layer.name), strict=True))
        assert all(torch.allclose(a.value, b.value, rtol=1e-5) and a.rows == b.rows for a, b in pairs)
        assert scored[layer.name] == pytest.approx(scores[layer.name], rel=0.02)


@pytest.mark.parametrize("name", CASES)
def test_a_run_of_layers_has_a_segment_of_its_own_unless_another_reads_its_weights(name: str) -> None:
    model, samples = _loaded(name)
    segments, places = cut(model.module(), [[layer] for layer in model.inventory.layers])
    assert places == sorted(places) and set(places) == set(range(len(segments))) and len(segments) >= CASES[name][2]
    values = dict(zip((spec.name for spec in model.inputs), samples.inputs[0], strict=True))
    for segment in segments:
        values |= dict(zip(segment.outputs, segment.module(*(values[name] for name in segment.inputs)), strict=True))
    wanted = model.module()(*samples.inputs[0])
    for want, got in zip(wanted[::-1], [values[name] for name in segments[-1].outputs[::-1]], strict=False):
        assert torch.equal(want, got)


def test_a_segment_may_be_differentiated_again_and_alone() -> None:
    model, samples = _loaded("decoder")
    layers = model.inventory.layers
    runs = [[layer] for layer in layers]

    def gradients(stream: Stream, run: int) -> list[Any]:
        weights, found = stream.weights(runs[run]), []
        for _ in stream.backward(stream.places[run], range(len(samples))):
            found.append(next(weight.grad for weight in weights.values()))
            weights[layers[run].weights[0]].grad = None
        return found

    walked = Stream(model, samples.inputs, runs, "kl", 2, seed=4)
    every = {run: (gradients(walked, run), gradients(walked, run)) for run in reversed(range(len(runs)))}
    for run, (first, again) in every.items():
        alone = gradients(Stream(model, samples.inputs, runs, "kl", 2, seed=4), run)
        assert len(first) == 2 * len(samples)
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, again, alone, strict=True))


def test_a_disk_that_is_full_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = _loaded("residual")

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sdk.sensitivity.tape._open", full)
    stream = Stream(model, samples.inputs, [[layer] for layer in model.inventory.layers])
    with pytest.raises(BadInput, match="no space left on device"):
        stream.forward(1)
