"""What a plan of a small network is said to weigh is what its file weighs, to within one per cent."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("litert_torch")
from torch import nn  # noqa: E402

from sdk.lowering import Prices, Range  # noqa: E402
from sdk.lowering.discovery import find_target  # noqa: E402
from sdk.models.load import load_model  # noqa: E402
from sdk.planning import allowed  # noqa: E402
from sdk.quantize import quantize  # noqa: E402
from sdk.schemes import all_schemes, scheme_named  # noqa: E402
from targets.tflite.convert import FloatModel, convert  # noqa: E402
from targets.tflite.lower import write_quantized  # noqa: E402
from targets.tflite.pricing import prices  # noqa: E402

CLOSE = 0.01


class Block(nn.Module):
    """An inverted residual, as MobileNets have it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.widen, self.narrow = nn.Conv2d(inputs, 4 * inputs, 1), nn.Conv2d(4 * inputs, outputs, 1)
        self.wise = nn.Conv2d(4 * inputs, 4 * inputs, 3, stride, 1, groups=4 * inputs)
        self.skips = inputs == outputs and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.narrow(nn.functional.relu6(self.wise(torch.relu(self.widen(x)))))
        return x + y if self.skips else y


class Words(nn.Module):
    """An embedding, a recurrent layer and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cells = nn.Embedding(128, 64), nn.GRU(64, 96, batch_first=True)
        self.first, self.second = nn.Linear(96, 128), nn.Linear(128, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(self.cells(self.table(x))[0][:, -1])))


def blocks() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    made = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 32, 1), nn.Conv2d(32, 96, 1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10),
    )
    return made, (torch.zeros(1, 1, 16, 16),)


def words() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Words(), (torch.zeros(1, 6, dtype=torch.int64),)


def linears() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64)), (torch.zeros(1, 64),)


Priced = tuple[Any, FloatModel, Prices]


@pytest.fixture(scope="module", params=[blocks, words, linears], ids=lambda made: str(made.__name__))
def priced(request: pytest.FixtureRequest) -> Priced:
    torch.manual_seed(0)
    module, example = request.param()
    model = load_model(module.eval(), example)
    source, table = convert(model), find_target("tflite").capabilities()
    schemes = all_schemes().values()
    kept = {layer.name: allowed(layer, table, None, schemes, None, ("fp32",))[0] for layer in model.inventory.layers}
    return model, source, prices(model, source, kept)


def weighed(priced: Priced, wanted: Mapping[str, str]) -> tuple[int, int]:
    """Bytes as said and as written."""
    model, source, found = priced
    ranges = {name: Range(0.02, 3) for layer in model.inventory.layers for name in (layer.input, layer.output)}
    made = quantize(model, {layer: scheme_named(scheme) for layer, scheme in wanted.items()}, ranges)
    apart = found.base + sum(found.layers[layer][scheme] for layer, scheme in wanted.items())
    together = sum(saved for one, two, saved in found.joins if "static" in wanted[one] and "static" in wanted[two])
    return apart - together, len(write_quantized(made, source))


def smallest(schemes: Mapping[str, int]) -> str:
    return min((size, name) for name, size in schemes.items())[1]


def by_name(*names: str) -> Callable[[Mapping[str, int]], str]:
    return lambda schemes: next((name for name in names if name in schemes), "fp32")


def drawn(seed: int) -> Callable[[Mapping[str, int]], str]:
    numbers = random.Random(seed)

    def draw(schemes: Mapping[str, int]) -> str:
        return numbers.choice(sorted(name for name in schemes if "static" not in name))

    return draw


PLANS: Sequence[tuple[str, Callable[[Mapping[str, int]], str]]] = (
    ("smallest", smallest),
    ("halves", by_name("fp16")),
    ("weights", by_name("int8_channel")),
    ("dynamic", by_name("int8_channel_dynamic", "int8_channel")),
    ("narrow weights", by_name("int4_channel")),
    ("groups", by_name("int4_g32_dynamic", "int4_g32", "int4_channel_dynamic", "int4_channel")),
    ("static", by_name("int4_channel_static", "int8_channel_static", "int8_channel")),
    *((f"drawn {seed}", drawn(seed)) for seed in range(4)),
)


@pytest.mark.parametrize("pick", [pick for _, pick in PLANS], ids=[name for name, _ in PLANS])
def test_a_small_network_s_file_weighs_what_was_said(priced: Priced, pick: Callable[[Mapping[str, int]], str]) -> None:
    said, got = weighed(priced, {layer: pick(schemes) for layer, schemes in priced[2].layers.items()})
    assert abs(said / got - 1) <= CLOSE, (said, got)
