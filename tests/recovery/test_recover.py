"""`recover` end to end on the null target: less loss at the same bytes, resumable, and files that fit their plan alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sdk
from sdk.errors import BadInput
from sdk.pipeline import recovering
from sdk.recovery import train

WORDS: dict[str, Any] = {"device": "pixel8", "target": "null", "loss": "mse", "name": "net"}
STEPS = 100


def _net(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16)]
    return torch.nn.Sequential(*layers)


@pytest.fixture(scope="module")
def data() -> list[tuple[torch.Tensor]]:
    torch.manual_seed(5)
    return [(torch.randn(1, 32),) for _ in range(200)]


@pytest.fixture
def plan(data: list[Any], tmp_path: Path) -> Path:
    from sdk.planning import write_plan

    made = sdk.plan(_net(), uniform="q2", calibration=data[:16], **WORDS)
    write_plan(made, tmp_path / "plan.yaml")
    return tmp_path / "plan.yaml"


def _recover(plan: Path, data: list[Any], out: Path, **words: Any) -> Any:
    return sdk.recover(_net(), plan=plan, calibration=data[:16], data=data, steps=STEPS, out=out, **WORDS, **words)


def test_the_bundle_loses_less_at_the_same_bytes(plan: Path, data: list[Any], tmp_path: Path) -> None:
    found = _recover(plan, data, tmp_path / "r.safetensors")
    assert found.after < 0.9 * found.before and found.held_out == 25
    bundles = [
        sdk.package(_net(), plan=plan, calibration=data[:16], recovered=recovered, out=tmp_path / name, **WORDS)
        for name, recovered in (("without", None), ("with", tmp_path / "r.safetensors"))
    ]
    without, with_it = (bundle.manifest for bundle in bundles)
    assert with_it.artifact.bytes == without.artifact.bytes
    assert with_it.recovery is not None and with_it.recovery.after == pytest.approx(found.after, rel=1e-4)
    stored = load_file(tmp_path / "r.safetensors")
    assert not torch.equal(stored["float|0.bias"], _net()[0].bias), "biases are floats at the same bytes"
    torch.manual_seed(9)
    unseen, net = [torch.randn(1, 32) for _ in range(50)], _net()
    losses = [sum(float((torch.as_tensor(b.run(x)[0]) - net(x)).square().sum().detach()) for x in unseen) for b in bundles]
    assert losses[1] < 0.85 * losses[0], "on inputs that nobody trained or calibrated on"


@pytest.mark.parametrize("target", ["coreml", "executorch", "tflite"])
def test_the_artifact_computes_what_was_trained(data: list[Any], tmp_path: Path, target: str) -> None:
    from sdk.planning import write_plan

    device = "iphone15pro" if target == "coreml" else "pixel8"
    words = {**WORDS, "device": device, "target": target, "calibration": data[:16]}
    write_plan(sdk.plan(_net(), uniform="q4", **words), tmp_path / "plan.yaml")
    kept = "fp16" if target == "coreml" else "fp32"
    text = (tmp_path / "plan.yaml").read_text()
    (tmp_path / "plan.yaml").write_text(re.sub(r"(layer: '4'.*?scheme: )\w+", rf"\g<1>{kept}", text))
    file = tmp_path / "r.safetensors"
    found = sdk.recover(_net(), plan=tmp_path / "plan.yaml", data=data, steps=30, out=file, **words)
    assert "4" in found.schemes and found.schemes["4"] == kept
    bundle = sdk.package(_net(), plan=tmp_path / "plan.yaml", recovered=file, out=tmp_path / "bundle", **words)
    assert bundle.manifest.measured.relative_error.value < 1e-2


def test_an_interrupted_training_ends_with_the_same_bytes(
    plan: Path, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "one"))
    _recover(plan, data, tmp_path / "whole.safetensors")
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "two"))
    advance, calls = train._Course.advance, []

    def stop_at_40(course: Any) -> float:
        calls.append(course.step)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return advance(course)

    monkeypatch.setattr(train._Course, "advance", stop_at_40)
    with pytest.raises(KeyboardInterrupt):
        _recover(plan, data, tmp_path / "resumed.safetensors")
    assert not (tmp_path / "resumed.safetensors").exists()
    _recover(plan, data, tmp_path / "resumed.safetensors")
    assert calls[40] == 25, "it went on from what was kept"
    assert (tmp_path / "resumed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_pace_that_does_harm_is_given_up(
    plan: Path, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(train, "PACE", 1e9)
    monkeypatch.setattr(train, "TRAVEL", 150.0)
    paces = []

    def look(course: Any) -> None:
        done(course)
        paces.append(course._pace)

    done = train._Course.look
    monkeypatch.setattr(train._Course, "look", look)
    found = _recover(plan, data, tmp_path / "r.safetensors")
    assert paces[-1] < 1500 / 2 and found.after < found.before


@pytest.mark.parametrize(("steps", "pace"), [(500, 2.0), (1000, 1.0), (5000, 1.0)])
def test_a_longer_training_is_finer_and_then_goes_farther(
    plan: Path, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, pace: float
) -> None:
    monkeypatch.setattr(train, "NEAR", 1e9)
    assert _pace(plan, data, tmp_path, monkeypatch, steps) == pytest.approx(pace)


def test_codes_go_farther_in_proportion_where_blocks_are_off(
    plan: Path, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for near in (2e-3, 1e-3):
        monkeypatch.setattr(train, "NEAR", near)
        found.append(_pace(plan, data, tmp_path, monkeypatch, 500))
    assert found[1] == pytest.approx(2 * found[0]) and found[0] > 2


def _pace(plan: Path, data: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> float:
    """The pace that a training begins with where no step is tried."""
    monkeypatch.setattr(train, "PACE", 1e9)
    paces: list[float] = []

    def stop(course: Any) -> float:
        paces.append(course._pace)
        raise KeyboardInterrupt

    monkeypatch.setattr(train._Course, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        sdk.recover(_net(), plan=plan, calibration=data[:16], data=data, steps=steps, out=tmp_path / "r.safetensors", **WORDS)
    return paces[0]


def test_what_does_not_fit_is_refused_in_one_sentence(plan: Path, data: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "r.safetensors"
    _recover(plan, data, file)

    def packaged(net: torch.nn.Module, words: dict[str, Any]) -> None:
        sdk.package(net, calibration=data[:16], out=tmp_path / "bundle", **WORDS, **words)

    with pytest.raises(BadInput, match=r"--recovered .*: needs the plan"):
        packaged(_net(), {"recovered": file, "uniform": "q2"})
    with pytest.raises(BadInput, match="there is no such file"):
        packaged(_net(), {"recovered": tmp_path / "absent", "plan": plan})
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(BadInput, match="is no recovery file"):
        packaged(_net(), {"recovered": tmp_path / "noise", "plan": plan})
    other = plan.read_text().replace("scheme: int2_g32", "scheme: int8_channel", 1)
    (tmp_path / "other.yaml").write_text(other)
    with pytest.raises(BadInput, match="was trained as"):
        packaged(_net(), {"recovered": file, "plan": tmp_path / "other.yaml"})
    stored = load_file(file)
    with safe_open(file, "pt") as read:
        save_file({**stored, "float|0.bias": torch.zeros(3)}, tmp_path / "odd", metadata=read.metadata())
    with pytest.raises(BadInput, match=r"0\.bias: is no parameter of this model"):
        packaged(_net(), {"recovered": tmp_path / "odd", "plan": plan})
    with pytest.raises(BadInput, match="too few"):
        sdk.recover(_net(), plan=plan, calibration=data[:8], out=file, **WORDS)
    with pytest.raises(BadInput, match="no data to train on"):
        sdk.recover(_net(), plan=_synthetic(tmp_path), out=file, inputs=(torch.randn(1, 32),), **WORDS)
    assert not (tmp_path / "bundle").exists()
    assert recovering.MOST >= 1024


def _synthetic(folder: Path) -> Path:
    from sdk.planning import write_plan

    made = sdk.plan(_net(), uniform="q2", inputs=(torch.randn(1, 32),), **WORDS)
    write_plan(made, folder / "synthetic.yaml")
    return folder / "synthetic.yaml"
