"""A static range holds for inputs that were not seen: it is chosen on samples that it was not fitted to."""

from __future__ import annotations

import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.sensitivity.ranges import RATIOS, calibrate_ranges


def _range_of(data: list[torch.Tensor]) -> tuple[float, float]:
    """Lowest and highest value of the range that `data` gives the input of a layer."""
    inputs = [(x,) for x in data]
    model = load_model(nn.Linear(64, 4).eval(), inputs[0])
    found = calibrate_ranges(model, model.inventory.layers, take_samples(model, inputs))[model.inventory.layers[0].input]
    return (-128 - found.zero_point) * found.scale, (127 - found.zero_point) * found.scale


def test_inputs_of_one_size_are_spanned_as_they_were_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = _range_of([torch.rand(16, 64, generator=generator) * 2 - 1 for _ in range(20)])
    assert -1.02 < low < -0.98 and 0.98 < high < 1.02


def test_where_each_sample_may_be_larger_than_all_before_there_is_room() -> None:
    """A rare large sample is in one half of the data alone, so that the other half learns to leave room for it."""
    generator = torch.Generator().manual_seed(1)
    data = [torch.rand(16, 64, generator=generator) * 2 - 1 for _ in range(20)]
    data[15] *= 3
    low, high = _range_of(data)
    assert high > 3 * 1.04 and low < -3 * 1.04
    assert high < 3 * max(RATIOS) * 1.01


def test_a_single_sample_is_enough() -> None:
    low, high = _range_of([torch.linspace(-1, 3, 64).reshape(1, 64)])
    assert low <= 0 < high <= 3.1


class Head(nn.Module):
    """One convolution for two scales, of which the second has values ten times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(self.head(x)), self.tail(torch.relu(self.head(10 * x)))


def test_what_one_weight_reads_in_several_places_has_one_range() -> None:
    torch.manual_seed(0)
    model = load_model(Head().eval(), (torch.randn(1, 4, 6, 6),))
    head, tail = model.inventory.layers
    found = calibrate_ranges(model, [head, tail], take_samples(model, None))
    assert head.uses == 2 and found[head.output] == found[tail.input] != found[tail.output]
    inputs = [x for (x,) in take_samples(model, None).inputs]
    seen = found[head.input]
    assert (127 - seen.zero_point) * seen.scale > 5 * max(float(x.max()) for x in inputs)


class Tied(nn.Module):
    """A head whose weight an embedding looks up, as large as nothing else in the network."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(16, 8), nn.Linear(8, 16, bias=False)
        self.head.weight = self.embedding.weight
        nn.init.constant_(self.embedding.weight, 50.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.embedding(x)))


def test_a_weight_that_an_embedding_looks_up_is_no_input_of_the_head_that_shares_it() -> None:
    model = load_model(Tied().eval(), (torch.arange(6).reshape(1, 6),))
    head = next(layer for layer in model.inventory.layers if layer.kind == "linear")
    seen = calibrate_ranges(model, [head], take_samples(model, None))[head.input]
    assert (127 - seen.zero_point) * seen.scale < 2
