"""A prefill over a cache that the caller holds: what lives when, and how it grows with the context."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sdk.costs.activations import attended
from sdk.costs.arenas import arenas, live
from sdk.costs.caching import UPDATE, cached, held_for, room
from sdk.costs.memory import MemoryModel
from sdk.costs.outside import outside_steps
from sdk.lowering import Copies, MemoryTable, Prices, Speaking
from sdk.models import Model
from sdk.models.load import load_model
from tests.costs.test_memory import TABLE
from tests.language.conftest import make_config, save_model

LAYERS, HEADS, KEYS, SIZE, WIDTH = 3, 4, 2, 16, 64
KEPT = ("q_proj", "k_proj", "v_proj")
"""Linears of the last layer that a prefill computes."""
WORKING = {"scaled_dot_product_attention": 0.0, "silu": 1.0}
SPOKEN = Speaking(returned=2, inside=(), working=WORKING, prefill=128, caches=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    config = make_config(num_hidden_layers=LAYERS, tie_word_embeddings=True, max_position_embeddings=4096)
    return load_model(str(save_model(tmp_path_factory.mktemp("three"), config)), context=1024)


def _language(model: Model, context: int) -> Any:
    assert model.language is not None
    return replace(model.language, context=context)


def _rooms(model: Model, context: int) -> tuple[int, int, int]:
    found = cached(model, SPOKEN, _language(model, context))
    return arenas(found, (), (), outside_steps(found, (), ("embedding", UPDATE)))


def test_a_prefill_ends_with_the_keys_and_values_of_the_last_layer(model: Model) -> None:
    found = cached(model, SPOKEN, _language(model, 1024))
    assert found.kinds.count(UPDATE) == LAYERS and found.kinds[-1] == UPDATE
    assert found.kinds.count("scaled_dot_product_attention") == LAYERS - 1
    last = {name for name in found.layers if name is not None and name.startswith(f"model.layers.{LAYERS - 1}.")}
    assert {name.rpartition(".")[2] for name in last} == {"q_proj", "k_proj", "v_proj"} and "lm_head" not in found.layers


def test_each_attention_begins_a_part(model: Model) -> None:
    found = cached(model, SPOKEN, _language(model, 1024))
    parts = found.parts(outside_steps(found, (), ("embedding", UPDATE)))
    attends = [step for step, kind in enumerate(found.kinds) if kind == "scaled_dot_product_attention"]
    assert [parts[step] for step in attends] == [1, 2] and parts[attends[0] - 2] == 0


def test_scores_and_joined_masks_grow_with_the_context(model: Model) -> None:
    (inside, _, held), (more, _, longer) = _rooms(model, 1024), _rooms(model, 2048)
    scores, values = 4 * HEADS * 128, 4 * KEYS * SIZE
    assert (more - inside) / 1024 == scores + values
    assert (longer - held) / 1024 == 4 * HEADS // KEYS * 128, "one mask for the heads that share keys, held for all layers"


def test_a_short_prompt_holds_what_passes_to_the_cache(model: Model) -> None:
    found = cached(model, SPOKEN, _language(model, 128))
    outside = outside_steps(found, (), ("embedding", UPDATE))
    _, held = live(found, (), (), outside)
    stream, asked, stored = (4 * 128 * each for each in (WIDTH, HEADS * SIZE, 2 * KEYS * SIZE))
    masks, turns = 4 * HEADS // KEYS * 128 * 128, 2 * 4 * 128 * SIZE
    step = found.kinds.index(UPDATE)
    assert held[step] == stream + asked + stored + masks + turns


def test_the_cache_has_room_for_whole_prefills(model: Model) -> None:
    assert [room(_language(model, context), SPOKEN) for context in (100, 129, 1024)] == [100, 256, 1024]
    assert room(_language(model, 129), replace(SPOKEN, prefill=0)) == 129
    one = 2 * LAYERS * KEYS * SIZE * 4
    assert held_for(_language(model, 129), SPOKEN) == 3 * 256 * one + 4 * (129 * 256 + 400)
    assert held_for(_language(model, 129), replace(SPOKEN, prefill=0, caches=1)) == 129 * one


def test_queries_keys_and_values_are_told_apart(model: Model) -> None:
    found = attended(model)
    assert len(found) == LAYERS and all(len(set(names)) == 3 for names in found.values())


def _memory(model: Model, shared: Any = None, **changes: Any) -> MemoryModel:
    table: MemoryTable = replace(
        TABLE, language=replace(SPOKEN, **changes), operators=replace(TABLE.operators, outside=("embedding",)),
        copies=(
            Copies(("linear",), "fp32", packed=4.0), Copies(("linear",), "int8_channel_dynamic", packed=1.0),
            *(Copies(("embedding",), name, packed=0.0, outside=True, rows=True) for name in ("fp32", "int8_channel")),
        ),
    )  # fmt: skip
    widths = {"fp32": 4, "int8_channel": 1, "int8_channel_dynamic": 1}
    sizes = {
        layer.name: {name: width * layer.parameters for name, width in widths.items()} for layer in model.inventory.layers
    }
    return MemoryModel(model, table, Prices(0, sizes), shared or {})


def test_both_graphs_pack_what_they_read_and_the_file_lies_in_memory(model: Model) -> None:
    layers = model.inventory.layers
    plan = {layer.name: "fp32" for layer in layers}
    parts = _memory(model, mapped=False).parts(plan)
    linears = [layer for layer in layers if layer.kind == "linear"]
    last = f"model.layers.{LAYERS - 1}."
    decoded = {name for name in plan if name == "lm_head" or (name.startswith(last) and name[-6:] not in KEPT)}
    assert parts.packed == sum(4 * layer.parameters * (1 if layer.name in decoded else 2) for layer in linears)
    assert parts.kept == sum(4 * layer.parameters for layer in layers)


def test_a_weight_that_the_file_stores_once_is_held_once(model: Model) -> None:
    pair, size = ("model.embed_tokens", "lm_head"), 400 * WIDTH
    shared = {pair: {("int8_channel", "int8_channel_dynamic"): size}}
    kinds = {layer.name: layer.kind for layer in model.inventory.layers}
    plan = {name: "int8_channel" if kind == "embedding" else "int8_channel_dynamic" for name, kind in kinds.items()}
    apart, once = (_memory(model, each, mapped=False).parts(plan) for each in ({}, shared))
    assert apart.peak - once.peak == size
    other = plan | {"lm_head": "fp32"}
    assert _memory(model, shared, mapped=False).parts(other).peak == _memory(model, mapped=False).parts(other).peak


def test_the_longest_context_that_saves_enough(model: Model) -> None:
    memory = _memory(model)
    peaks = {context: memory._of_context(_language(model, context)) for context in (640, 768, 1024)}
    assert memory.context(peaks[1024] - peaks[768]) == 768
    assert memory.context(peaks[1024] - peaks[768] + 1) == 640
    assert memory.context(1e9) is None
