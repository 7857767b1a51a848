"""A loss that was asked for holds for the finished file, not for the prediction alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.errors import BudgetError
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
    assert any("planned again for less" in note for note in bundle.manifest.notes)
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
