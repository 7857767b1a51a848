"""Recurrent layers are loops of the file: right in every form, one copy of the weights, exact in bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk
from sdk.planning import plan_text
from targets.tflite.flatbuffer import builtin_name, read
from tests.targets.recurrent import FORMS as COMMON
from tests.targets.recurrent import Read, cases, check_outputs, check_two

FORMS = COMMON | {
    "both ways lstm": (lambda: nn.LSTM(5, 8, 2, bidirectional=True), (6, 1, 5)),
    "projected": (lambda: nn.LSTM(5, 8, proj_size=3), (6, 1, 5)),
}


@pytest.mark.parametrize(("form", "what"), cases(FORMS))
def test_every_form_computes_what_torch_does(form: str, what: str, tmp_path: Path) -> None:
    check_outputs(FORMS, form, what, "tflite", tmp_path / "b")
    names = operators(tmp_path / "b" / "model.tflite")
    assert ("WHILE" in names) == (form != "projected")


def test_a_layer_may_follow_another(tmp_path: Path) -> None:
    check_two("tflite", tmp_path / "b")


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
