"""The cache of keys and values is part of the memory budget, and a context that fits is offered where this one does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.costs.memory import MemoryModel
from sdk.errors import BudgetError
from sdk.lowering.discovery import ready_target
from sdk.models.load import load_model
from sdk.pipeline.foreseeing import costs_of
from sdk.schemes import scheme_named


def _plan(model: Path, context: int, target: str = "executorch", **limits: Any) -> Any:
    return sdk.plan(str(model), device="pixel8", target=target, context=context, **limits)


def test_every_token_of_context_costs_its_keys_and_values(llama: Path) -> None:
    short, long = (_plan(llama, context, uniform="q8").predicted.peak_memory.value for context in (128, 256))
    layers, kv_heads, head_dim = 2, 2, 16
    assert long - short == pytest.approx(2 * layers * kv_heads * head_dim * 4 * 128, abs=1e-5 * long)  # both have six digits


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_the_longest_context_is_offered_and_holds(llama: Path, target: str) -> None:
    limit = round(_plan(llama, 256, target, max_memory="50MB").predicted.peak_memory.value)
    for _ in range(40):  # down to where no plan fits any more
        limit -= 20_000
        try:
            _plan(llama, 256, target, max_memory=limit)
        except BudgetError as error:
            refused = str(error)
            break
    found = re.search(r", or --context (\d+) instead of 256$", refused)
    assert found is not None and 32 <= int(found[1]) < 256
    assert _plan(llama, int(found[1]), target, max_memory=limit).predicted.peak_memory.value <= limit


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_no_context_is_offered_where_none_fits(llama: Path, target: str) -> None:
    with pytest.raises(BudgetError, match=r"max_memory 1\.00 MB cannot be met: raise max_memory to ") as error:
        _plan(llama, 256, target, max_memory="1MB")
    assert "--context" not in str(error.value)


def test_logits_take_more_than_what_outgrown_rooms_left(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def activations(spare: int) -> int:
        monkeypatch.setattr(MemoryModel, "_arenas", lambda self, schemes: (10_000, spare, 0, 0))
        memory = costs_of(model, chosen, prices, None).memory
        assert memory is not None
        return memory.parts({layer.name: "fp32" for layer in model.inventory.layers}).activations

    model, chosen = load_model(str(llama), context=128), ready_target("executorch")
    names = {layer.name: [scheme_named("fp32")] for layer in model.inventory.layers}
    prices = chosen.price(model, names, None)
    assert activations(50_000) - activations(0) == pytest.approx(50_000, rel=0.02)  # 1 % is what an allocator keeps
