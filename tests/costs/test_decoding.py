"""The latency of a language model: what one token computes, behind how long a context, in which schemes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.cli.main import run
from sdk.costs import LatencyModel
from sdk.costs.caching import UPDATE
from sdk.costs.decoding import token_steps
from sdk.costs.work import ROW
from sdk.devices import Kernel, find_device
from sdk.devices.writing import profile_text
from sdk.errors import BadInput, BudgetError
from sdk.models import Model
from sdk.models.load import load_model
from tests.costs.test_caching import HEADS as QUERIES
from tests.costs.test_caching import KEYS, LAYERS, SIZE, SPOKEN, WIDTH
from tests.costs.test_latency import kernels
from tests.language.conftest import make_config, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = make_config(num_hidden_layers=LAYERS, tie_word_embeddings=True, max_position_embeddings=4096)
    return save_model(tmp_path_factory.mktemp("three"), config)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(str(folder), context=1024)


def _longer(model: Model, context: int) -> Model:
    assert model.language is not None
    return replace(model, language=replace(model.language, context=context))


def test_each_layer_multiplies_its_weights_with_one_row(model: Model) -> None:
    rows = {step.layer: step for step in token_steps(model, SPOKEN) if step.kind == ROW}
    assert len(rows) == LAYERS * 7 + 1
    for step in rows.values():
        assert step.features((1, 1, 1))[0] == step.weights and step.positions == 1
    assert rows["lm_head"].inputs == WIDTH


def test_attention_reads_the_whole_cache(model: Model) -> None:
    steps = token_steps(model, SPOKEN)
    products = [step for step in steps if step.kind == "matmul"]
    assert len(products) == 2 * LAYERS and sum(step.kind == UPDATE for step in steps) == 2 * LAYERS
    assert {step.weights for step in products} == {KEYS * 1024 * SIZE}
    assert {step.features((1, 1, 1))[0] for step in products} == {QUERIES * 1024 * SIZE}
    longer = [step for step in token_steps(_longer(model, 2048), SPOKEN) if step.kind == "matmul"]
    assert {step.weights for step in longer} == {KEYS * 2048 * SIZE}


@pytest.mark.parametrize("target", ["executorch"])
def test_a_limit_is_refused_where_no_probe_measures_attention(folder: Path, target: str) -> None:
    with pytest.raises(BadInput, match="max_latency: of language models on executorch none is predicted"):
        sdk.plan(str(folder), device="pixel8", target=target, context=128, max_latency=8)


def test_a_longer_context_and_wider_weights_take_longer(model: Model) -> None:
    row = [Kernel(kind=ROW, scheme=name, ns=(ns, 0, 0, 0, 100)) for name, ns in (("fp32", 0.04), ("int8_channel", 0.01))]
    known = kernels(rows=(*kernels().rows, *row, Kernel(kind="matmul", ns=(0.1, 0, 0, 0, 10))), stream=((1, 0.001),))
    wide, narrow = ({layer.name: name for layer in model.inventory.layers} for name in ("fp32", "int8_channel"))
    near, far = LatencyModel(model, known, SPOKEN), LatencyModel(_longer(model, 2048), known, SPOKEN)
    assert near.median(narrow) < near.median(wide)
    more = (far.median(wide) - near.median(wide)) * 1e6
    assert more >= 2 * LAYERS * 0.1 * 1024 * QUERIES * SIZE
    choices = {layer.name: ["fp32", "int8_channel"] for layer in model.inventory.layers}
    base, amounts = near.amounts(choices)
    summed = base + sum(each["int8_channel"] for each in amounts.values())
    assert summed == pytest.approx(near.p90(narrow))


def test_keys_and_values_are_read_no_faster_than_memory(model: Model) -> None:
    known = kernels(rows=(*kernels().rows, Kernel(kind="matmul", ns=(0.0, 0, 0, 0, 1))), stream=((1, 0.5),))
    schemes = {layer.name: "fp32" for layer in model.inventory.layers}
    far, near = (LatencyModel(each, known, SPOKEN).median(schemes) for each in (_longer(model, 2048), model))
    assert (far - near) * 1e6 >= 2 * LAYERS * KEYS * 1024 * SIZE * 4 * 0.5


def test_a_plan_of_a_language_model_keeps_a_latency(folder: Path, tmp_path: Path, capsys: Any) -> None:
    given: dict[str, Any] = {"device": "pixel8", "target": "tflite", "context": 256}
    loose = sdk.plan(str(folder), max_size="1MB", **given).predicted.latency
    assert loose is not None and loose.value > 0
    with pytest.raises(BudgetError, match="max_latency"):
        sdk.plan(str(folder), max_latency=loose.value / 100, **given)
    profile = tmp_path / "slow.yaml"
    slower = find_device("pixel8")
    profile.write_text(profile_text(slower))
    arguments = ["plan", str(folder), "--device", str(profile), "--target", "tflite", "--context", "256", "--max-size", "1MB"]
    assert run([*arguments, "--max-latency", f"{loose.value}ms"]) == 0
    assert "ms a token (" in capsys.readouterr().out
