"""Stateful Core ML packages compute, token by token, what the quantized torch model computes at once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdk
from sdk.bundles import artifact_bytes
from sdk.errors import BadInput, LoweringError
from sdk.generate import generate
from sdk.lowering import Quantized, Realised, TokenExecutable
from sdk.models import Model
from sdk.models.load import load_model
from sdk.pipeline import verify_bundle
from sdk.progress import SilentReporter
from sdk.rounding import round_weight
from sdk.schemes import scheme_named
from tests.language.conftest import make_config, save_model

pytest.importorskip("coremltools")

from targets.coreml import TARGET
from targets.coreml.contents import open_contents
from targets.coreml.decoding import KEYS, MASK, TOKENS, VALUES
from targets.coreml.program import DTYPES

FLOAT = ("fp16",)
MIXED = ("int8_channel", "int4_g32", "lut4_gc16", "lut6_scaled", "int8_g32", "lut2_scaled", "int4_channel", "lut1_scaled")


def louder(model: Any) -> None:
    """Weights so large that every layer has a say in the logits."""
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.mul_(6)


def quantized(model: Model, names: tuple[str, ...]) -> Quantized:
    module = model.module()
    layers = model.inventory.layers
    schemes = {layer.name: scheme_named(names[i % len(names)]) for i, layer in enumerate(layers)}
    if model.inventory["lm_head"].tied:
        schemes["lm_head"] = schemes["model.embed_tokens"]
    grids = {
        layer.name: tuple(round_weight(module.get_parameter(w), schemes[layer.name], layer.channel_axis) for w in layer.weights)
        for layer in layers
    }
    return Quantized(model, schemes, grids, {})


def make(kind: str, folder: Path) -> Model:
    config = make_config(kind, tie_word_embeddings=kind in ("llama", "qwen3"))
    return load_model(str(save_model(folder / kind, config, change=louder)), context=64)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make("llama", tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("names", [FLOAT, MIXED])
def test_prefill_and_decode_steps_equal_the_reference(names: tuple[str, ...], tiny: Model, tmp_path: Path) -> None:
    check_steps(tiny, names, tmp_path / "model.mlpackage")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "gemma3_text", "phi3", "smollm3", "mistral"])
def test_other_families_do_too(kind: str, tmp_path: Path) -> None:
    check_steps(make(kind, tmp_path), MIXED, tmp_path / "model.mlpackage")


def check_steps(model: Model, names: tuple[str, ...], path: Path) -> None:
    """Prefill, three steps, and a step back, against the reference; bytes and schemes against plan and prices."""
    plan = quantized(model, names)
    sites = TARGET.lower(plan, path, 18, lambda said: None)
    executable: Any = TARGET.open(path)
    assert isinstance(executable, TokenExecutable)
    tokens = torch.randint(0, 380, (1, 61), generator=torch.Generator().manual_seed(1))
    (want,) = TARGET.reference(plan)(tokens)
    scale = float(want.abs().max())
    (whole,) = executable.run([tokens.numpy()])
    assert np.abs(whole - want.numpy()).max() < 1e-4 * scale
    got = [executable.step(tokens[0, :40].tolist(), 0), *(executable.step([int(tokens[0, i])], i) for i in (40, 41, 42))]
    for row, logits in enumerate(got, 39):
        assert np.abs(logits - want[0, row].numpy()).max() < 1e-4 * scale
    again = executable.step(tokens[0, 41:43].tolist(), 41)  # going back forgets what stood there
    assert np.abs(again - want[0, 42].numpy()).max() < 1e-4 * scale
    priced = TARGET.price(model, {layer: [scheme] for layer, scheme in plan.schemes.items()}, 18)
    predicted = priced.base + sum(priced.layers[layer][scheme.name] for layer, scheme in plan.schemes.items())
    assert artifact_bytes(path) == pytest.approx(predicted, rel=0.005)
    found: dict[str, Realised] = dict(TARGET.realised(path, sites))
    assert {layer: r.scheme for layer, r in found.items()} == {layer: s.name for layer, s in plan.schemes.items()}
    assert TARGET.placement(path).unknown["scaled_dot_product_attention"] == 2
    once = model.inventory["lm_head"].tied != ()
    assert (found["lm_head"].bytes == 0) == once == (sites["lm_head"] == f"={sites['model.embed_tokens']}")


def test_any_number_of_tokens_comes_in_and_the_cache_is_float16(tiny: Model, tmp_path: Path) -> None:
    TARGET.lower(quantized(tiny, FLOAT), tmp_path / "model.mlpackage", 18, lambda said: None)
    contents = open_contents(tmp_path / "model.mlpackage")
    inputs, states = contents.spec.description.input, contents.spec.description.state
    ranges = {
        f.name: [(r.lowerBound, r.upperBound) for r in f.type.multiArrayType.shapeRange.sizeRanges] for f in inputs
    }
    assert ranges == {TOKENS: [(1, 1), (1, 61)], MASK: [(1, 1), (1, 1), (1, 61), (1, 64)]}
    shapes = {f.name: tuple(f.type.stateType.arrayType.shape) for f in states}
    assert shapes == {KEYS: (2, 2, 64, 16), VALUES: (2, 2, 64, 16)}
    operations = contents.block.operations
    assert not {"sin", "cos", "range_1d"} & {op.type for op in operations}  # angles are no float16
    squares = [op.outputs[0].type.tensorType for op in operations if op.type in ("pow", "reduce_mean", "rsqrt")]
    assert {DTYPES[kind.dataType] for kind in squares} == {"float32"}  # nor are squares
    executable: Any = TARGET.open(tmp_path / "model.mlpackage")
    with pytest.raises(BadInput, match="64 at most"):
        executable.step([5, 6], 63)
    with pytest.raises(BadInput, match="61 at most"):
        executable.step([5] * 62, 0)


def test_a_tied_embedding_and_head_need_one_scheme(tiny: Model, tmp_path: Path) -> None:
    plan = quantized(tiny, FLOAT)
    parted = replace(plan, schemes={**plan.schemes, "lm_head": scheme_named("lut6")})
    with pytest.raises(LoweringError, match="are stored once and need one scheme"):
        TARGET.lower(parted, tmp_path / "model.mlpackage", 18, lambda said: None)


@pytest.mark.slow
def test_a_bundle_talks_and_is_verified(llama: Path, tmp_path: Path) -> None:
    bundle = sdk.package(
        str(llama), device="iphone15pro", target="coreml", context=64, uniform="q8", min_os=18, out=tmp_path / "out"
    )
    language = bundle.manifest.language
    assert language is not None and language.agreement == 1 and language.cache_bytes == 2 * 2 * 2 * 16 * 2 * 64
    assert bundle.manifest.measured.relative_error.value < 1e-4 and bundle.manifest.min_os == 18
    assert all(found.ok for found in verify_bundle(bundle.path, SilentReporter()))
    made = generate(bundle, "Are you going?", 5, plain=True)
    assert made.origin == "evaluator" and 0 < len(made.tokens) <= 5


def test_older_systems_are_refused(llama: Path) -> None:
    with pytest.raises(BadInput, match=re.escape("--min-os 17: target 'coreml' holds language models from OS 18 on")):
        sdk.plan(str(llama), device="iphone15pro", target="coreml", context=64, min_os=17)
