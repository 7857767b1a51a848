"""A plan says of every layer that came on a grid whether its scheme keeps it, and the user hears how many do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import sdk
from sdk.planning import parse_plan
from tests.rounding.test_lattice import on_grid


@pytest.mark.filterwarnings("ignore")
def test_a_plan_says_which_layers_keep_their_own_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    net[0].weight.data = on_grid(1, 32, -8, 7, 128, 64)
    net[2].weight.data = on_grid(2, 64, -127, 127, 64, 64)
    samples = [(torch.randn(1, 128),) for _ in range(8)]
    bundle = sdk.package(
        net.eval(), inputs=samples[0], device="host", target="null", uniform="q4", calibration=samples, out=tmp_path / "out"
    )
    reasons = {line.layer: line.reason for line in parse_plan(bundle.plan, "plan.yaml").layers}
    assert reasons["0"].startswith("keeps its own grid exactly (4 bits in groups of 32)")
    assert reasons["2"].startswith("rounds its own grid again (8 bits per channel)") and "own grid" not in reasons["3"]
    assert any("a grid of 4 bits in groups of 32 already: 1 keep it exactly" in note for note in bundle.manifest.notes)
    assert any("a grid of 8 bits per channel already: 0 keep it exactly" in note for note in bundle.manifest.notes)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("target", "device", "limit"), [("null", "host", 1e-5), ("executorch", "pixel8", 0.05)])
def test_exact_keeps_every_weight_and_takes_no_statistics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, device: str, limit: float
) -> None:
    """Also where a target computes with 8-bit activations alone, whose loss is looked for."""
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.Linear(64, 8))
    net[0].weight.data = on_grid(1, 32, -8, 7, 128, 64)
    net[2].weight.data = on_grid(2, 64, -1, 1, 64, 64)

    def refuse(*given: object) -> None:
        raise AssertionError("nothing is rounded, so nothing has to be known of the inputs")

    monkeypatch.setattr("sdk.pipeline.workbench.Taking", refuse)
    samples = [(torch.randn(1, 128),) for _ in range(8)]
    bundle = sdk.package(
        net.eval(), inputs=samples[0], device=device, target=target, uniform="exact", calibration=samples, out=tmp_path / "out"
    )
    schemes = {line.layer: line.scheme for line in parse_plan(bundle.plan, "plan.yaml").layers}
    assert schemes["3"] == "fp32" and "int4" in schemes["0"] and not schemes["2"].startswith("fp")
    assert bundle.manifest.measured.loss.value == 0 or target == "executorch"
    want = net(samples[0][0]).detach().numpy()
    assert abs(bundle.run(samples[0][0])[0] - want).max() < limit * abs(want).max()
    assert any("layer 3 (linear) got fp32 instead: its weights lie on no grid" in note for note in bundle.manifest.notes)
