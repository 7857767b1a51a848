"""A loss that was asked for holds for the finished file, not for the prediction alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.errors import BadInput, BudgetError
from sdk.pipeline import packaging
from sdk.planning import summed
from sdk.verify import Parity

pytestmark = pytest.mark.usefixtures("quiet", "app")
WORDS: dict[str, Any] = {"device": "host", "target": "null", "calibration": "model.py:samples", "out": "made"}


@pytest.fixture
def lossier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Every file loses as many times what its layers lose one by one, and something on top."""

    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))  # a bundle that another test made must not be found

    def make(times: float, more: float = 0.0) -> None:
        from dataclasses import replace

        real = packaging.verify

        def verify(lowered: Any) -> tuple[Any, Parity]:
            realised, parity = real(lowered)
            return realised, replace(parity, loss=times * summed(lowered.plan) + more)

        monkeypatch.setattr(packaging, "verify", verify)

    return make


def test_a_file_that_loses_more_than_predicted_is_planned_again(lossier: Callable[..., None]) -> None:
    lossier(3.0)
    bundle = sdk.package("model.py:net", max_loss=1e-3, **WORDS)
    assert bundle.manifest.measured.loss.value <= 1e-3
    assert any("planned again" in note for note in bundle.manifest.notes)
    assert "max_loss: 0.001" in bundle.plan  # what was asked for, not what was aimed at


def test_one_that_cannot_be_held_is_refused(lossier: Callable[..., None]) -> None:
    lossier(1.0, more=1.0)
    with pytest.raises(BudgetError, match=r"max_loss 0\.001: the finished file loses .* was predicted"):
        sdk.package("model.py:net", max_loss=1e-3, **WORDS)
    assert not Path("made").exists()


def test_a_preset_is_held_to_it_too(lossier: Callable[..., None]) -> None:
    lossier(1.0, more=1.0)
    with pytest.raises(BudgetError, match=r"max_loss 0\.1: "):
        sdk.package("model.py:net", uniform="q4", max_loss=0.1, **WORDS)


def test_without_a_budget_of_ones_own_the_measured_loss_is_stated(lossier: Callable[..., None]) -> None:
    lossier(3.0)
    assert sdk.package("model.py:net", **WORDS).manifest.measured.loss.value > 0


def test_a_constant_output_is_packaged(tmp_path: Path) -> None:
    """Its layers are computed before the file is written, which then holds none of them."""
    torch = pytest.importorskip("torch")

    class Constant(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 4)

        def forward(self, x: Any) -> Any:
            return self.layer(x) * 0 + torch.arange(4.0)

    samples = [(torch.randn(1, 8),) for _ in range(4)]
    bundle = sdk.package(Constant().eval(), device="pixel8", target="tflite", calibration=samples, max_loss=0, out=tmp_path / "b")
    assert [(each.planned, each.bytes) for each in bundle.manifest.layers] == [("fp32", 0)]


@pytest.mark.parametrize(("name", "value"), [("max_loss", "a"), ("max_latency", "5"), ("max_loss", True)])
def test_a_limit_that_is_no_number_is_told(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=rf"{name}: {value!r}: must be a number"):
        sdk.plan("net.py:net", device="pixel8", **{name: value})


def test_a_file_that_is_a_little_heavier_than_predicted_is_planned_again(
    lossier: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plan is far enough below the limit to be taken again where only what the file is over is kept free."""
    lossier(1.0)
    largest = sdk.package("model.py:net", max_size="1MB", **WORDS).manifest.predicted.artifact_bytes.value
    real = packaging.artifact_bytes
    monkeypatch.setattr(packaging, "artifact_bytes", lambda path: real(path) + 600)
    words = {**WORDS, "out": "heavier"}
    bundle = sdk.package("model.py:net", max_size=int(largest) + 590, **words)
    assert any("10 bytes over max_size: planned again" in note for note in bundle.manifest.notes)
