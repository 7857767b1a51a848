"""Recurrent layers are loops of the file: right in every form, one copy of the weights, exact in bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.planning import plan_text
from targets.tflite.flatbuffer import builtin_name, read

FORMS = {
    "lstm": (lambda: nn.LSTM(5, 8, batch_first=True), (2, 7, 5)), "gru": (lambda: nn.GRU(5, 8), (7, 2, 5)),
    "stacked": (lambda: nn.LSTM(5, 8, 3), (6, 1, 5)),
    "both ways": (lambda: nn.GRU(5, 8, 2, bidirectional=True, batch_first=True), (1, 6, 5)),
    "both ways lstm": (lambda: nn.LSTM(5, 8, 2, bidirectional=True), (6, 1, 5)),
    "unbatched": (lambda: nn.LSTM(5, 8, bidirectional=True), (6, 5)), "no biases": (lambda: nn.GRU(5, 8, bias=False), (6, 1, 5)),
    "projected": (lambda: nn.LSTM(5, 8, proj_size=3), (6, 1, 5)), "one step": (lambda: nn.LSTM(5, 8), (1, 1, 5)),
}  # fmt: skip


class Read(nn.Module):
    """What of a recurrent layer an application reads."""

    def __init__(self, layer: nn.Module, what: str) -> None:
        super().__init__()
        self.layer, self.what = layer, what

    def forward(self, x: torch.Tensor) -> Any:
        y, state = self.layer(x)
        states = state if isinstance(state, tuple) else (state,)
        return {"all": (y, *states), "last": states[0][-1], "outputs": torch.relu(y)}[self.what]


USUAL = ("lstm", "both ways", "stacked")
CASES = [*((form, "all") for form in FORMS), ("stacked", "last"), ("both ways", "outputs")]


@pytest.mark.parametrize(
    ("form", "what"),
    [pytest.param(*case, marks=() if case[0] in USUAL and case[1] != "outputs" else pytest.mark.slow) for case in CASES],
)
def test_every_form_computes_what_torch_does(form: str, what: str, tmp_path: Path) -> None:
    make, shape = FORMS[form]
    torch.manual_seed(0)
    net = Read(make(), what).eval()
    samples = [(torch.randn(shape),) for _ in range(2)]
    bundle = sdk.package(net, device="pixel8", target="tflite", calibration=samples, uniform="fp32", out=tmp_path / "b")
    for sample in samples:
        for found, wanted in zip(bundle.run(*sample), (net(*sample),) if what != "all" else net(*sample), strict=True):
            torch.testing.assert_close(torch.as_tensor(found), wanted, rtol=1e-5, atol=1e-5)
    names = operators(tmp_path / "b" / "model.tflite")
    assert ("WHILE" in names) == (form != "projected")


def operators(path: Path) -> list[str]:
    flat = read(path.read_bytes())
    return [builtin_name(flat, op) for op in flat.subgraphs[0].operators]


@pytest.mark.parametrize(
    "scheme", ["int4_channel", *(pytest.param(each, marks=pytest.mark.slow) for each in ("int8_channel", "fp16"))]
)
def test_a_layer_of_several_loops_is_stored_in_its_scheme_and_its_bytes_are_as_predicted(scheme: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Read(nn.GRU(32, 32, 2, bidirectional=True, batch_first=True), "outputs").eval()
    samples = [(torch.randn(1, 9, 32),) for _ in range(4)]
    text = plan_text(sdk.plan(net, device="pixel8", target="tflite", calibration=samples, uniform="fp16"))
    edited = tmp_path / "plan.yaml"
    edited.write_text(re.sub(r"(?m)^(- \{layer: layer, kind: gru, scheme: )\w+", rf"\g<1>{scheme}", text))
    bundle = sdk.package(net, device="pixel8", target="tflite", calibration=samples, plan=edited, out=tmp_path / "b")
    (layer,) = bundle.manifest.layers
    assert layer.planned == layer.realised == scheme
    assert abs(bundle.manifest.measured.artifact_bytes.value / bundle.manifest.predicted.artifact_bytes.value - 1) < 0.01
