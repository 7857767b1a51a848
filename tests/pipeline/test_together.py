"""Layers that make each other worse are rounded in order, and the user hears of a loss that nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.bundles import Bounded
from sdk.errors import BudgetError
from sdk.lowering import Quantized
from sdk.pipeline import packaging, together
from sdk.pipeline.planning import plan_request
from sdk.pipeline.request import Request
from sdk.planning import Plan, summed
from sdk.progress import SilentReporter
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
    monkeypatch.setattr(together, "_apart", lambda plan, *_: [summed(plan)] * 8)
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


@pytest.fixture
def overfitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Samples that did not round a plan lose as many times what its layers do, one in eight of them half of it."""
    def make(times: float, more: float = 0.0) -> None:
        monkeypatch.setenv("SDK_CACHE", str(tmp_path / f"cache {times} {more}"))

        def apart(plan: Plan, *_: Any) -> list[float]:
            mean = times * summed(plan) + more
            return [*[mean * 4 / 7] * 7, mean * 4]

        monkeypatch.setattr(together, "_apart", apart)

    return make


@pytest.mark.usefixtures("quiet", "app")
def test_a_limit_is_kept_on_samples_that_did_not_round_the_file(overfitted: Callable[..., None]) -> None:
    free = sdk.package("model.py:net", max_loss=1e-3, **WORDS).manifest
    overfitted(9.0)
    found = sdk.package("model.py:net", max_loss=1e-3, **WORDS).manifest
    assert found.predicted.loss.value <= 1e-3 and found.artifact.bytes > free.artifact.bytes
    assert isinstance(found.predicted.loss, Bounded) and found.predicted.loss.low < found.predicted.loss.value
    assert found.predicted.loss.high > 1.5 * found.predicted.loss.value  # one sample carries half of it
    with pytest.raises(BudgetError, match=r"max_loss 0\.001: samples that the file was not rounded by lose"):
        overfitted(1.0, more=1.0)
        sdk.package("model.py:net", max_size="8KB", max_loss=1e-3, **{**WORDS, "out": "other"})
    assert not Path("other").exists()


@pytest.mark.usefixtures("quiet", "app")
def test_what_few_samples_carry_is_told(overfitted: Callable[..., None]) -> None:
    overfitted(1.0, more=0.5)
    bundle = sdk.package("model.py:net", max_size="8KB", **WORDS)
    assert any("few of the 8 samples that judged it carry the loss of 0.5" in note for note in bundle.manifest.notes)
    assert "held_out:" in bundle.plan and bundle.manifest.measured.loss.value < 0.1 < bundle.manifest.predicted.loss.value


@pytest.mark.usefixtures("quiet", "app")
def test_no_sample_judges_what_it_rounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rounding of each fold sees the moments of the other folds alone, and a small model is judged on all that it learns from."""
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    torch = pytest.importorskip("torch")
    samples = [(torch.randn(1, 8, generator=torch.Generator().manual_seed(i)),) for i in range(100)]
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)).eval()
    seen, judged = list[int](), list[Any]()
    quantize, losses = together.quantize, together._losses

    def round_by(model: Any, schemes: Any, ranges: Any, known: Any, *rest: Any) -> Any:
        seen.append(known.moments("0").samples)
        return quantize(model, schemes, ranges, known, *rest)

    def judge(found: Any, bench: Any, inputs: Any) -> list[float]:
        judged.append(inputs)
        return losses(found, bench, inputs)

    monkeypatch.setattr(together, "quantize", round_by)
    monkeypatch.setattr(together, "_losses", judge)
    request = Request(model=net, device="iphone15pro", target="coreml", max_size=2900, calibration=samples, loss="mse")
    planned = plan_request(request, SilentReporter(), shipped=True)
    found = planned.plan.predicted.held_out
    assert found is not None and found.samples == 100 and seen[:4] == [75] * 4
    numbers = [next(i for i, each in enumerate(samples) if each[0].equal(x[0])) for fold in judged[:4] for x in fold]
    assert numbers == list(range(100))


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
