"""Peak memory: lifetimes of activations, sums for the solver, budgets that hold in plans and bundles."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.costs import Costs, MemoryModel
from sdk.costs.activations import activations, outside_steps
from sdk.errors import BadInput, BudgetError
from sdk.lowering import Copies, MemoryTable
from sdk.models.load import load_model
from sdk.schemes import scheme_named
from targets.null import TARGET


class Net(nn.Module):
    """Convolutions with a skip, a pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.third, self.head = nn.Conv2d(16, 32, 1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = self.third(x + self.second(x).relu())
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


TABLE = MemoryTable(
    "made up", code=1000, fixed=100, operator=10, indirection=8.0, slack=0.0, freed=False, outside=("embedding",),
    error=(-0.1, 0.2),
    copies=(
        Copies(("conv2d", "pointwise", "linear"), "fp32", packed=4.0, scale=4.0),
        Copies(("conv2d", "pointwise", "linear"), "int8_channel_static", packed=1.0, scale=12.0),
        Copies(("conv2d", "pointwise", "linear"), "fp16", packed=4.0, passing=4.0),
        Copies(("conv2d", "pointwise"), "int8_channel", packed=9.0, outside=True),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return load_model(Net().eval(), (torch.randn(1, 3, 8, 8),))


@pytest.fixture(scope="module")
def memory(model: Any) -> MemoryModel:
    names = ("fp32", "fp16", "int8_channel_static", "int8_channel")
    choices = {layer.name: [scheme_named(name) for name in names] for layer in model.inventory.layers}
    return MemoryModel(model, TABLE, TARGET.price(model, choices, None))


def test_tensors_live_from_their_maker_to_their_last_reader(model: Any) -> None:
    found = activations(model)
    inside, held = found.live((), (), outside_steps(found, (), ()))
    image, wide, deep = 4 * 3 * 64, 4 * 16 * 64, 4 * 32 * 64
    assert max(held) == image + 4 * 10, "input and output belong to the caller, from the first step to the last"
    assert inside[found.layers.index("first")] == image + wide, "the input in the runtime's own layout, and what is made of it"
    assert inside[found.layers.index("second")] == 2 * wide, "the skip waits; the relu is part of its convolution"
    assert inside[found.layers.index("third")] == wide + deep, "the sum is written over one of its inputs"


def test_eight_bits_pass_between_static_layers_alone(model: Any) -> None:
    found = activations(model)
    step = found.layers.index("third")
    wide, deep = 4 * 16 * 64, 4 * 32 * 64
    inside, _ = found.live({"first", "second", "third", "head"}, (), frozenset())
    assert inside[step] == wide + deep + wide // 4 + deep // 4, "floats before and behind it, and the kernel's copies"


def test_layers_outside_of_the_accelerated_part_have_an_arena_of_their_own(model: Any, memory: MemoryModel) -> None:
    plain = dict.fromkeys((layer.name for layer in model.inventory.layers), "fp32")
    split = plain | {"second": "int8_channel"}
    assert memory.parts(split).activations > memory.parts(plain).activations


def test_a_passing_copy_counts_while_loading(memory: MemoryModel) -> None:
    half = memory.parts(dict.fromkeys(("first", "second", "third", "head"), "fp16"))
    assert half.passing == pytest.approx(4 * (432 + 2304 + 512 + 320))
    assert half.peak == half.file + half.packed + half.passing + half.runtime


def test_the_largest_sum_is_the_prediction_but_for_what_layers_cost_together(memory: MemoryModel) -> None:
    names = ("fp32", "fp16", "int8_channel_static")
    sums = Costs(memory).sums(dict.fromkeys(("first", "second", "third", "head"), names))
    toss = random.Random(0)
    for number in range(60):
        schemes = {name: "fp32" if number == 0 else toss.choice(names) for name in ("first", "second", "third", "head")}
        largest = max(each.base + sum(each.amounts[name][scheme] for name, scheme in schemes.items()) for each in sums)
        peak = memory.parts(schemes).peak
        assert largest == peak if number == 0 else largest <= peak + 1e-6


def test_the_bounds_are_the_validations(memory: MemoryModel) -> None:
    schemes = dict.fromkeys(("first", "second", "third", "head"), "fp32")
    found = Costs(memory).predict(schemes)["max_memory"]
    assert (found.low, found.high) == (round(0.9 * found.value), round(1.2 * found.value))


def small(**budgets: Any) -> Any:
    torch.manual_seed(0)
    data = [(torch.randn(1, 3, 8, 8),) for _ in range(4)]
    return sdk.plan(Net().eval(), device="host", target="null", calibration=data, **budgets)


def test_a_plan_keeps_its_memory(model: Any) -> None:
    wide = small(max_memory="1MB")
    assert wide.predicted.peak_memory is not None
    peak = wide.predicted.peak_memory.value
    tight = small(max_memory=round(peak * 0.95))
    assert tight.predicted.peak_memory.value <= round(peak * 0.95) == tight.budgets.max_memory
    assert tight.predicted.loss >= wide.predicted.loss


def test_refusals_name_the_limit() -> None:
    with pytest.raises(BudgetError, match=r"max_memory 2\.00 kB cannot be met: no plan needs less than"):
        small(max_memory=2000)
    with pytest.raises(BudgetError, match=r"max_memory 2\.00 kB: predicted are"):
        small(max_memory=2000, uniform="q8")
    with pytest.raises(BadInput, match="max_latency: nothing predicts it"):
        small(max_latency=1.0)


def test_a_bundle_says_what_was_predicted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = [(torch.randn(1, 3, 8, 8),) for _ in range(4)]
    bundle = sdk.package(Net().eval(), device="host", target="null", calibration=data, max_memory="1MB", out=tmp_path / "b")
    found = bundle.manifest.predicted.peak_memory
    assert found is not None
    assert found.low < found.value < found.high
    assert found.origin == "predicted"
