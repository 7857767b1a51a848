"""Recurrent layers are loops of the .pte: right in every form, one copy of the weights, quick to lower whatever their steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.lowering.types import Quantized
from sdk.models.load import load_model
from sdk.planning import plan_text
from targets.executorch import TARGET
from targets.executorch.lowering import lower_program
from targets.executorch.program import read_program
from tests.targets.recurrent import FORMS as COMMON
from tests.targets.recurrent import Read, cases, check_outputs, check_two

FORMS = COMMON | {
    "both ways lstm": (lambda: nn.LSTM(5, 8, 2, bidirectional=True), (6, 2, 5)),
    "projected": (lambda: nn.LSTM(5, 8, 2, proj_size=3), (6, 1, 5)),
    "plain": (lambda: nn.RNN(5, 8, 2, nonlinearity="relu"), (6, 1, 5)),
    "plain both ways": (lambda: nn.RNN(5, 8, bidirectional=True), (6, 1, 5)),
}  # fmt: skip


@pytest.mark.parametrize(("form", "what"), cases(FORMS))
def test_every_form_computes_what_torch_does(form: str, what: str, tmp_path: Path) -> None:
    check_outputs(FORMS, form, what, "executorch", tmp_path / "b", front=True)
    recurrent = FORMS[form][0]()
    cells = recurrent.num_layers * (1 + recurrent.bidirectional)
    program = read_program(tmp_path / "b" / "model.pte")
    assert sum(call.operator.startswith("executorch_prim::et_copy_index") for call in program.calls.values()) <= cells
    assert sum("fully_connected" in names for names in program.operators) >= cells


def test_a_layer_may_follow_another(tmp_path: Path) -> None:
    check_two("executorch", tmp_path / "b")


def test_the_file_does_not_grow_with_the_steps_and_its_bytes_are_as_predicted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.GRU(16, 16, 2)
    few, many = (load_model(nn.Sequential(layer).eval(), (torch.randn(steps, 1, 16),)) for steps in (3, 60))
    sizes = [len(lower_program(Quantized(model, {}, {}, {}))) for model in (few, many)]
    assert sizes[0] == sizes[1]
    assert TARGET.price(many, {}, None).base == sizes[1]


def test_static_layers_around_a_loop_keep_their_scheme(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.memory, self.behind = nn.Linear(32, 32), nn.LSTM(32, 32, batch_first=True), nn.Linear(32, 32)

        def forward(self, x: torch.Tensor) -> Any:
            return self.behind(self.memory(self.before(x))[0])

    torch.manual_seed(0)
    net = Net().eval()
    samples = [(torch.randn(1, 6, 32),) for _ in range(4)]
    text = plan_text(sdk.plan(net, device="pixel8", target="executorch", calibration=samples, uniform="fp32"))
    edited = tmp_path / "plan.yaml"
    edited.write_text(re.sub(r"(?m)^(- \{layer: \w+, kind: linear, scheme: )\w+", r"\g<1>int8_channel_static", text))
    bundle = sdk.package(net, device="pixel8", target="executorch", calibration=samples, plan=edited, out=tmp_path / "b")
    realised = {layer.name: layer.realised for layer in bundle.manifest.layers}
    assert realised == {"before": "int8_channel_static", "memory": "fp32", "behind": "int8_channel_static"}


@pytest.mark.slow
def test_a_loop_whose_weights_are_computed_is_written_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.GRU(5, 8), "weight_hh_l0")
    net = Read(layer, "outputs", front=True).eval()
    sample = (torch.randn(3, 1, 5),)
    bundle = sdk.package(net, device="pixel8", target="executorch", calibration=[sample], uniform="fp32", out=tmp_path / "b")
    torch.testing.assert_close(torch.as_tensor(bundle.run(*sample)[0]), net(*sample), rtol=1e-5, atol=1e-5)
