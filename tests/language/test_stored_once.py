"""A tied embedding and head are one stretch of the file where both have the same codes, and compute as if they were two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sdk
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.executorch import TARGET
from targets.executorch.sharing import shared


@pytest.mark.parametrize(("linear", "lookup", "once"), [
    ("int8_channel_dynamic", "int8_channel", True), ("fp32", "fp32", True), ("int4_channel_dynamic", "int4_channel", False),
])  # fmt: skip
def test_a_pte_holds_equal_weights_once(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linear: str, lookup: str, once: bool
) -> None:
    model = load_model(str(llama), context=64)
    schemes = {each.name: scheme_named(lookup if each.kind == "embedding" else linear) for each in model.inventory.layers}
    assert TARGET.stored_once(schemes["model.embed_tokens"], schemes["lm_head"]) == once
    quantized, tokens = quantize(model, schemes), np.arange(model.language.window)[None]  # type: ignore[union-attr]
    sites = TARGET.lower(quantized, tmp_path / "one.pte", None, lambda text: None)
    monkeypatch.setattr("targets.executorch.lowering.shared", lambda content: content)
    TARGET.lower(quantized, tmp_path / "two.pte", None, lambda text: None)
    one, two = (tmp_path / f"{name}.pte" for name in ("one", "two"))
    prices = TARGET.price(model, {name: [scheme] for name, scheme in schemes.items()}, None)
    saved = prices.weights["lm_head"][schemes["lm_head"].name] if once else 0
    assert two.stat().st_size - one.stat().st_size == pytest.approx(saved, abs=128)
    assert shared(one.read_bytes()) == one.read_bytes()
    assert np.array_equal(TARGET.open(one).run([tokens])[0], TARGET.open(two).run([tokens])[0])
    found = TARGET.realised(one, sites)
    assert {name: each.scheme for name, each in found.items()} == {name: scheme.name for name, scheme in schemes.items()}
    assert sum(each.bytes for each in TARGET.realised(two, sites).values()) - sum(each.bytes for each in found.values()) == saved


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_a_plan_counts_them_once(llama: Path, target: str) -> None:
    plan = sdk.plan(str(llama), device="pixel8", target=target, context=64, uniform="q8")
    lines = {line.layer: line for line in plan.layers}
    assert lines["model.embed_tokens"].bytes > 400 * 64 > lines["lm_head"].bytes
