"""Layers that make each other worse are rounded in order, and the user hears of a loss that nobody foresaw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.lowering import Quantized
from sdk.pipeline import packaging, together
from sdk.verify import Parity

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "page-orientation"
WORDS: dict[str, Any] = {"device": "host", "target": "null", "calibration": "model.py:samples", "out": "made"}


@pytest.mark.usefixtures("quiet", "app")
@pytest.mark.parametrize(("alone", "in_order", "ways"), [(1e-9, 0.0, "a"), (9.0, 1.0, "ao"), (9.0, 10.0, "ao")])
def test_the_rounding_that_loses_less_is_taken(
    alone: float, in_order: float, ways: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    made: list[Quantized] = []
    real = together.quantize

    def quantize(*given: Any) -> Quantized:
        made.append(real(*given))
        return made[-1]

    monkeypatch.setattr(together, "quantize", quantize)
    monkeypatch.setattr(together, "_loss", lambda found, *_: alone if found is made[0] else in_order)
    taken: list[Quantized] = []
    lower = packaging.lower

    def keep(*given: Any) -> Any:
        lowered = lower(*given)
        taken.append(lowered.quantized)
        return lowered

    monkeypatch.setattr(packaging, "lower", keep)
    sdk.package("model.py:net", max_size="8KB", **WORDS)
    assert len(made) == len(ways)
    assert taken[-1] is made[0 if alone < in_order or len(ways) == 1 else 1]


@pytest.mark.usefixtures("quiet", "app")
def test_a_loss_that_was_not_foreseen_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    real = packaging.verify

    def verify(lowered: Any) -> tuple[Any, Parity]:
        realised, parity = real(lowered)
        return realised, replace(parity, loss=0.1 + 10 * lowered.plan.predicted.loss)

    monkeypatch.setattr(packaging, "verify", verify)
    bundle = sdk.package("model.py:net", max_size="8KB", **WORDS)
    assert any("was predicted: at so few bits" in note for note in bundle.manifest.notes)


@pytest.mark.slow
@pytest.mark.parametrize("size", [400_000, 484_000, 700_000])
def test_few_bits_do_not_break_a_real_model(size: int, tmp_path: Path) -> None:
    """PP-LCNet at 2 to 3 bits: rounded layer by layer on float inputs, its answers are noise (a loss of 0.6 and more)."""
    bundle = sdk.package(
        f"{EXAMPLE}/model.py:page", device="iphone15pro", target="coreml", max_size=size, loss="kl",
        calibration=f"{EXAMPLE}/data.py:calibration", metric=f"{EXAMPLE}/data.py:metric", out=tmp_path / "bundle",
    )
    assert bundle.manifest.measured.loss.value is not None and bundle.manifest.measured.loss.value < 0.05
    assert bundle.manifest.metric is not None and bundle.manifest.metric.artifact >= 0.85
