"""A language model as a `.litertlm`: what the file holds, and what LiteRT computes from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("litert_torch")

from sdk.errors import CheckFailed
from sdk.models import Model
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.tflite import TARGET
from targets.tflite.checks import checked_bytes
from targets.tflite.container import metadata, unpack
from targets.tflite.convert import convert
from targets.tflite.decoding import cache_length, decode_step, prefill_length, prefill_step
from targets.tflite.flatbuffer import read, write
from tests.language.conftest import make_config, save_model

PLANS = {
    "float": ("fp32", "fp32"), "int8": ("int8_channel", "int8_channel_dynamic"), "int4": ("int4_channel", "int4_channel_dynamic"),
    "blocks": ("int4_g32", "int4_g32_dynamic"),
}  # fmt: skip
"""Plan → schemes of the embedding and of the linears."""


@pytest.fixture(scope="module")
def model(llama: Path) -> Model:
    return load_model(str(llama), context=128)


@pytest.fixture(scope="module")
def files(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Plan → (quantized, path, sites), made when first asked for."""
    folder, made = tmp_path_factory.mktemp("litertlm"), {}

    def make(plan: str) -> Any:
        if plan not in made:
            embedding, linear = PLANS[plan]
            schemes = {
                layer.name: scheme_named(embedding if layer.kind == "embedding" else linear) for layer in model.inventory.layers
            }
            quantized = quantize(model, schemes)
            path = folder / plan / TARGET.generates
            path.parent.mkdir()
            made[plan] = quantized, path, TARGET.lower(quantized, path, None, lambda text: None)
        return made[plan]

    return make


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randint(0, 380, (1, 127), generator=torch.Generator().manual_seed(1))


def test_a_float_file_computes_what_the_model_computes(model: Model, files: Any, tokens: torch.Tensor) -> None:
    _, path, _ = files("float")
    with torch.no_grad():
        (want,) = model.module()(tokens)
    (got,) = TARGET.open(path).run([tokens.numpy()])
    assert got.shape == tuple(want.shape) and np.allclose(got, want.numpy(), atol=1e-5)


def test_pieces_and_single_tokens_give_what_the_whole_window_gives(model: Model, files: Any, tokens: torch.Tensor) -> None:
    _, path, _ = files("float")
    opened: Any = TARGET.open(path)
    with torch.no_grad():
        (want,) = model.module()(tokens)
    ids = tokens[0].tolist()
    for start, end in ((0, 5), (5, 6), (6, 50), (50, 127)):  # the third prefill would reach beyond the cache
        assert np.allclose(opened.step(ids[start:end], start), want[0, end - 1].numpy(), atol=1e-5)
    assert np.allclose(opened.step(ids[:20], 0), want[0, 19].numpy(), atol=1e-5)  # what stood there is forgotten
    with pytest.raises(CheckFailed, match="the cache holds 128"):
        opened.step(ids[:20], 109)


def test_the_cache_holds_whole_prefills(model: Model) -> None:
    assert model.language is not None
    for context, length in ((64, 64), (128, 128), (129, 256), (200, 256), (512, 512)):
        language = dataclasses.replace(model.language, context=context)
        assert cache_length(language) == length and cache_length(language) % prefill_length(language) == 0


def test_the_file_is_what_litert_lm_looks_for(model: Model, files: Any) -> None:
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    _, path, _ = files("float")
    flat = read(unpack(path))
    signatures = {each.signatureKey.decode(): each for each in flat.signatureDefs}
    assert sorted(signatures) == ["decode", "prefill_128"]
    cache = ["kv_cache_k_0", "kv_cache_k_1", "kv_cache_v_0", "kv_cache_v_1"]
    for each in signatures.values():
        assert sorted(entry.name.decode() for entry in each.inputs) == ["input_pos", *cache, "mask", "tokens"]
    assert sorted(entry.name.decode() for entry in signatures["decode"].outputs) == [*cache, "logits"]
    assert sorted(entry.name.decode() for entry in signatures["prefill_128"].outputs) == cache
    assert model.language is not None
    told = llm_metadata_pb2.LlmMetadata.FromString(metadata(model.language))
    assert told.max_num_tokens == 128 and told.llm_model_type.HasField("generic_model")
    assert [list(each.token_ids.ids) for each in told.stop_tokens] == [[1]]
    assert "<|bot|>" in told.jinja_prompt_template
    assert not told.HasField("start_token")  # neither tokenizer nor template begin with one
    render = model.language.tokenizer.apply_chat_template
    for content in ("Hi", [{"type": "text", "text": "Hi"}]):  # as transformers gives it, and as LiteRT-LM does
        said = render([{"role": "user", "content": content}], tokenize=False, chat_template=told.jinja_prompt_template)
        assert said == render([{"role": "user", "content": "Hi"}], tokenize=False)


def test_the_converter_sees_the_shapes_of_weights_alone(model: Model, tmp_path: Path) -> None:
    doubled = save_model(tmp_path, make_config(tie_word_embeddings=True), change=lambda made: made.lm_head.weight.mul_(2))
    other = load_model(str(doubled), context=128)
    assert other.digest != model.digest
    for step in (decode_step, prefill_step):
        first, second = (convert(step(each), bare=True) for each in (model, other))
        assert first.data == second.data and first.places == second.places
        assert len(first.data) < sum(place.shape[0] * place.shape[1] for found in first.places.values() for place in found) * 4


def test_signatures_are_held_against_their_own_graphs(files: Any) -> None:
    flat = read(unpack(files("float")[1]))
    flat.subgraphs[0].tensors, flat.subgraphs[0].operators = flat.subgraphs[0].tensors[:8], []
    flat.subgraphs[0].outputs = []
    flat.signatureDefs = flat.signatureDefs[1:]  # that of a graph with more tensors than the first
    checked_bytes(write(flat), "file")
    flat.signatureDefs[0].subgraphIndex = 2
    with pytest.raises(CheckFailed, match="a signature is of graph 2"):
        checked_bytes(write(flat), "file")


@pytest.mark.parametrize("plan", list(PLANS))
def test_price_and_realised_schemes_are_the_files(model: Model, files: Any, plan: str) -> None:
    quantized, path, sites = files(plan)
    choices = {name: [scheme] for name, scheme in quantized.schemes.items()}
    prices = TARGET.price(model, choices, None)
    predicted = prices.base + sum(prices.layers[name][scheme.name] for name, scheme in quantized.schemes.items())
    head = quantized.schemes["lm_head"]
    if TARGET.stored_once(quantized.schemes["model.embed_tokens"], head):
        assert prices.weights["lm_head"][head.name] >= 400 * 64 * head.bits // 8
        predicted -= prices.weights["lm_head"][head.name]
    both = 8 * 400 if quantized.schemes["lm_head"].granularity == "channel" else 0  # zero points that embedding and head share
    assert path.stat().st_size == pytest.approx(predicted - both, rel=0.025)  # half of this file is no weight
    realised = TARGET.realised(path, sites)
    assert {name: found.scheme for name, found in realised.items()} == {n: s.name for n, s in quantized.schemes.items()}


def test_linears_that_would_be_unpacked_into_floats_have_no_price(model: Model) -> None:
    schemes = [scheme_named(name) for name in ("fp32", "fp16", "int8_channel", "int4_channel", "int8_channel_dynamic")]
    prices = TARGET.price(model, {layer.name: schemes for layer in model.inventory.layers}, None).layers
    assert prices["lm_head"].keys() == {"fp32", "fp16", "int8_channel_dynamic"}
    assert {"int8_channel", "int4_channel"} <= prices["model.embed_tokens"].keys()


def test_one_file_is_written_for_one_plan_and_damage_is_found(files: Any, tmp_path: Path) -> None:
    quantized, path, sites = files("int4")
    TARGET.lower(quantized, tmp_path / "again.litertlm", None, lambda text: None)
    data = path.read_bytes()
    assert (tmp_path / "again.litertlm").read_bytes() == data
    for damaged in (b"", data[:40], data[: len(data) // 2], b"LITERTLX" + data[8:], data[:24] + bytes(8) + data[32:]):
        (tmp_path / "bad.litertlm").write_bytes(damaged)
        for use in (TARGET.open, TARGET.placement, lambda bad: TARGET.realised(bad, sites)):
            with pytest.raises(CheckFailed, match=r"bad\.litertlm"):
                use(tmp_path / "bad.litertlm")


def test_the_operators_of_both_steps_are_placed(files: Any) -> None:
    found = TARGET.placement(files("int4")[1])
    assert found.delegated["FULLY_CONNECTED"] == 7 + 2 + 7 + 8  # the prefill leaves out all behind its last keys and values
    assert found.outside["EMBEDDING_LOOKUP"] == 2 and found.outside["DYNAMIC_UPDATE_SLICE"] == 8
    assert found.delegates > 2 and not found.unknown


@pytest.mark.parametrize("plan", [plan for plan in PLANS if plan != "float"])
def test_quantized_files_compute_their_reference(files: Any, tokens: torch.Tensor, plan: str) -> None:
    quantized, path, _ = files(plan)
    (want,) = TARGET.reference(quantized)(tokens)
    (got,) = TARGET.open(path).run([tokens.numpy()])
    assert np.array_equal(got, want.numpy())


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_norms_of_many_channels_are_summed_as_the_runtime_sums_them(kind: str, tmp_path: Path, tokens: torch.Tensor) -> None:
    """XNNPACK squares within the mean, which sums otherwise; in 64 channels the two are the same."""
    wide = make_config(kind, hidden_size=320, num_attention_heads=5, num_key_value_heads=1, num_hidden_layers=1, head_dim=64)
    model = load_model(str(save_model(tmp_path / "wide", wide)), context=128)
    schemes = {layer.name: scheme_named(PLANS["int8"][layer.kind != "embedding"]) for layer in model.inventory.layers}
    quantized, path = quantize(model, schemes), tmp_path / TARGET.generates
    TARGET.lower(quantized, path, None, lambda text: None)
    (got,) = TARGET.open(path).run([tokens.numpy()])
    assert np.array_equal(got, TARGET.reference(quantized)(tokens)[0].numpy())


def test_a_longer_context_gets_a_longer_cache(llama: Path, files: Any, tmp_path: Path) -> None:
    _, short, _ = files("int8")
    longer = load_model(str(llama), context=256)
    schemes = {
        layer.name: scheme_named(PLANS["int8"][layer.kind != "embedding"]) for layer in longer.inventory.layers
    }
    TARGET.lower(quantize(longer, schemes), tmp_path / TARGET.generates, None, lambda text: None)
    opened = [TARGET.open(path) for path in (short, tmp_path / TARGET.generates)]
    assert [each._held[0].length for each in opened] == [128, 256]
