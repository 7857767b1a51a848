"""Latency: work of the steps, sums for the solver, budgets that hold, and what is said of devices that nobody probed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.costs import Costs, LatencyModel
from sdk.costs.latency import borders
from sdk.costs.transfer import Peak, core_peak, peak_of, transferred
from sdk.costs.work import PADDED, Step, steps_of
from sdk.devices import Kernel, Kernels, find_device
from sdk.devices.writing import profile_text
from sdk.errors import BadInput, BudgetError
from sdk.models.load import load_model

NAMES = ("fp32", "fp16", "int8_channel_static", "int8_channel")


class Net(nn.Module):
    """Convolutions with a skip, attention, a pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.third, self.head = nn.Conv2d(16, 32, 1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = self.third(x + self.second(x).relu())
        rows = x.flatten(2).transpose(1, 2)
        rows = nn.functional.scaled_dot_product_attention(rows, rows, rows)
        result: torch.Tensor = self.head(rows.mean(1))
        return result


def kernels(**words: Any) -> Kernels:
    """Kernels whose 8-bit rows are four times as fast as floats."""
    fast, slow = (0.01, 0.1, 0.05, 0.02, 100.0), (0.04, 0.4, 0.2, 0.1, 400.0)
    rows = [Kernel(kind="convert", ns=(0, 0.3, 0, 0, 50)), Kernel(kind="add", ns=(0, 0.5, 0, 0, 200))]
    for kind in ("conv2d", "pointwise", "depthwise", "linear"):
        rows += [Kernel(kind=kind, scheme=name, ns=fast if "static" in name else slow, tile=(1, 8, 4)) for name in NAMES]
    given: dict[str, Any] = {"runtime": "made up", "origin": "made up", "tail": 1.1, "error": (-0.1, 0.2), "rows": tuple(rows)}
    return Kernels(**{**given, **words})


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return load_model(Net().eval(), (torch.randn(1, 3, 8, 8),))


def test_steps_count_what_the_layers_do(model: Any) -> None:
    steps = {step.layer: step for step in steps_of(model) if step.layer}
    for layer in model.inventory.layers:
        assert steps[layer.name].features((1, 1, 1))[0] == layer.macs
    assert steps["first"].features((1, 16, 4))[0] == 64 * 16 * 9 * 4
    attention = next(step for step in steps_of(model) if step.kind == "scaled_dot_product_attention")
    assert attention.features((1, 1, 1))[0] == 2 * 64 * 64 * 32


def test_tiles_pad_positions_channels_and_depth() -> None:
    step = Step("linear", "l", 5, 1, 10, 1, 7, 35, 50, 70)
    assert step.features((4, 8, 4))[0] == 8 * 16 * 8
    assert step.features((1, 1, 1))[0] == 5 * 10 * 7


def test_strided_layers_that_pad_both_sides_alike_have_a_step_for_it_in_their_scheme() -> None:
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 2, 1, groups=8))
    model = load_model(net.eval(), (torch.randn(1, 3, 16, 16),))
    steps = [step for step in steps_of(model) if step.kind == PADDED]
    assert [(step.layer, step.outputs) for step in steps] == [("0", 3 * 18 * 18), ("2", 8 * 10 * 10)]
    row = Kernel(kind=PADDED, scheme=NAMES[3], ns=(0, 2.0, 0, 0, 100.0))
    priced, free = LatencyModel(model, kernels(rows=(*kernels().rows, row))), LatencyModel(model, kernels())
    plans = [dict.fromkeys(("0", "1", "2"), name) for name in (NAMES[3], NAMES[0])]
    extra = [1e6 * (priced.median(plan) - free.median(plan)) for plan in plans]
    assert extra == pytest.approx([2 * 100 + 2 * (3 * 18 * 18 + 8 * 10 * 10), 0.0])


def test_borders_lie_between_inside_and_outside() -> None:
    chain = [Step("linear", name, 1, 1, 4, 1, 4, 4, size, 16) for name, size in (("a", 4), ("b", 5), ("c", 6), ("d", 7))]
    chain.insert(1, Step("view", None, 0, 0, 0, 0, 0, 0, 0, 0, calls=0))
    schemes = ["int4_channel", "", "int4_channel", "fp32", "int4_channel"]
    assert borders(chain, schemes, {("linear", "int4_channel")}) == [5, 6]
    assert not borders(chain, schemes, ())


def test_a_plan_pays_for_its_borders(model: Any) -> None:
    inside = kernels()
    border = Kernel(kind="border", ns=(0, 1.0, 0, 0, 1000.0))
    rows = [row.model_copy(update={"outside": (row.kind, row.scheme) == ("conv2d", NAMES[0])}) for row in inside.rows]
    priced = LatencyModel(model, inside.model_copy(update={"rows": (*rows, border)}))
    alike, mixed = ({layer.name: name for layer in model.inventory.layers} for name in (NAMES[1], NAMES[0]))
    free = LatencyModel(model, inside)
    assert priced.median(alike) == pytest.approx(free.median(alike))
    assert priced.median(mixed) > free.median(mixed)


def test_what_costs_nothing_has_no_calls(model: Any) -> None:
    kinds = {step.kind for step in steps_of(model) if not step.calls}
    assert kinds <= {"relu", "flatten", "view", "reshape"}
    assert "add" not in kinds


def test_sums_are_never_more_than_the_prediction(model: Any) -> None:
    latency = LatencyModel(model, kernels(stream=((1000, 0.1), (100_000, 1.0))))
    choices = {layer.name: NAMES for layer in model.inventory.layers}
    base, amounts = latency.amounts(choices)
    toss = random.Random(0)
    for _ in range(100):
        plan = {name: toss.choice(NAMES) for name in choices}
        assert base + sum(amounts[name][scheme] for name, scheme in plan.items()) <= latency.p90(plan) * (1 + 1e-9)


def test_a_border_between_floats_and_8_bits_costs(model: Any) -> None:
    free = kernels(rows=tuple(row for row in kernels().rows if row.kind != "convert"))
    mixed = {layer.name: "fp32" for layer in model.inventory.layers} | {"third": "int8_channel_static"}
    assert LatencyModel(model, kernels()).median(mixed) > LatencyModel(model, free).median(mixed)


def test_weights_beyond_the_caches_are_streamed(model: Any) -> None:
    plan = {layer.name: "fp32" for layer in model.inventory.layers}
    slow = LatencyModel(model, kernels(stream=((1, 1e6), (2, 1e6))))
    total = sum(layer.parameters for layer in model.inventory.layers) * 4
    assert slow.median(plan) == pytest.approx(total + LatencyModel(model, kernels()).median({}.fromkeys(plan, "fp32")), rel=0.2)


def test_prediction_has_its_interval(model: Any) -> None:
    found = Costs(latency=LatencyModel(model, kernels())).predict({layer.name: "fp32" for layer in model.inventory.layers})
    each = found["max_latency"]
    assert (each.low, each.high) == (pytest.approx(0.9 * each.value), pytest.approx(1.2 * each.value))


def probed(folder: Path) -> Path:
    """A profile of this machine with made-up kernels of the null target."""
    path = folder / "probed.yaml"
    path.write_text(profile_text(find_device("host").model_copy(update={"kernels": {"null": kernels()}})))
    return path


def small(device: Any, **budgets: Any) -> Any:
    torch.manual_seed(0)
    data = [(torch.randn(1, 3, 8, 8),) for _ in range(4)]
    return sdk.plan(Net().eval(), device=str(device), target="null", calibration=data, **budgets)


def test_a_plan_keeps_its_latency(tmp_path: Path) -> None:
    device = probed(tmp_path)
    wide = small(device, max_latency=1000.0)
    taken = wide.predicted.latency.value
    tight = small(device, max_latency=0.8 * taken)
    assert tight.predicted.latency.value <= 0.8 * taken
    assert tight.predicted.latency.low < tight.predicted.latency.value < tight.predicted.latency.high
    assert tight.predicted.loss >= wide.predicted.loss
    with pytest.raises(BudgetError, match=r"max_latency 0\.001 ms cannot be met"):
        small(device, max_latency=0.001)
    both = small(device, max_latency=0.8 * taken, max_size="1MB")
    assert both.predicted.latency.value <= 0.8 * taken


def test_without_a_probe_the_refusal_says_what_to_do() -> None:
    with pytest.raises(BadInput, match=r"nothing predicts it for this target: .*sdk devices probe"):
        small("host", max_latency=1.0)


def test_transfer_goes_by_the_cores() -> None:
    pixel = peak_of(find_device("pixel8"))
    assert pixel is not None
    assert pixel.fp32 == pytest.approx(16 * 2.91 + 8 * 2.37)
    machine = core_peak("Cortex-A76", 2000, 2)
    moved = transferred(kernels(), machine, Peak(machine.fp32 / 2, machine.int8 / 4))
    for before, after in zip(kernels().rows, moved.rows, strict=True):
        assert after.ns[0] == pytest.approx(before.ns[0] * (4 if "static" in before.scheme else 2))
        assert after.ns[4] == pytest.approx(before.ns[4] * 2)
    assert moved.error[1] > 0.5
    assert "transferred" in moved.origin


@pytest.mark.parametrize(("more", "shape", "calls"), [
    ({}, (7, 2, 4), 7), ({"batch_first": True}, (2, 7, 4), 7), ({"num_layers": 3}, (7, 1, 4), 21),
    ({"bidirectional": True}, (7, 4), 14),
])  # fmt: skip
def test_a_recurrent_layer_calls_its_kernels_for_every_step(more: dict[str, Any], shape: tuple[int, ...], calls: int) -> None:
    model = load_model(nn.Sequential(nn.LSTM(4, 4, **more)).eval(), (torch.randn(shape),))
    assert next(step.calls for step in steps_of(model) if step.kind == "lstm") == calls
