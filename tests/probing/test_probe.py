"""`sdk devices probe`, as a user runs it: drafts that validate, a few real kernels, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sdk
from sdk.cli.main import run as sdk_run
from sdk.devices import validate_file
from sdk.errors import BudgetError
from sdk.probing import networks, probing

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `sdk devices probe`; returns its exit code and all that it said."""

    def probe(*words: str) -> tuple[int, str]:
        code = sdk_run(["devices", "probe", *words])
        said = capfd.readouterr()
        return code, said.out + said.err

    return probe


def test_a_device_that_says_nothing_gives_a_draft(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "draft.yaml"
    code, said = run("--on", "null", "--no-kernels", "--out", str(path))
    assert code == 0, said
    assert "kernels: none" in said
    assert validate_file(path).title == "Unknown device"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--on", "null", "--out", "x.yaml"), "measures nothing"),
        (("--on", "nowhere", "--no-kernels", "--out", "x.yaml"), "no such runner"),
        (("--no-kernels", "--target", "tflite", "--out", "x.yaml"), "contradict"),
        (("--no-kernels", "--out", "x.txt"), "end in .yaml"),
        (("--target", "nothing", "--out", "x.yaml"), "nothing"),
    ],
)
def test_what_is_refused(run: Run, words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run(*words)
    assert (code, message in said) == (2, True), said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "executorch"])
def test_kernels_of_this_machine_limit_a_plan(run: Run, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("conv2d (16", "conv2d (32", "linear (64", "linear (128", "depthwise (64", "add (1, 16", "stream (512")
    few = tuple(network for network in networks.all_networks() if network.name.startswith(wanted))
    monkeypatch.setattr(probing, "all_networks", lambda: few)
    path = tmp_path / "here.yaml"
    code, said = run("--target", target, "--out", str(path))
    assert code == 0, said
    found = validate_file(path).kernels[target]
    assert {row.kind for row in found.rows} >= {"conv2d", "linear", "depthwise", "add"}
    assert {row.scheme for row in found.rows} >= {"fp32", "int8_channel_static"}
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*body, nn.Linear(64, 9))
    data = [(torch.randn(1, 3, 24, 24),) for _ in range(4)]
    free = sdk.plan(net.eval(), device=str(path), target=target, calibration=data, max_latency=1000.0)
    taken = free.predicted.latency.value
    assert 0.005 < taken < 50
    with pytest.raises(BudgetError, match="max_latency"):
        sdk.plan(net.eval(), device=str(path), target=target, calibration=data, max_latency=taken / 100)
