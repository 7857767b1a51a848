"""A directory becomes a verified bundle that answers with the tokens that the float model would choose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import sdk
from sdk.bundles import Bundle
from sdk.cli.main import run
from sdk.errors import BadInput
from sdk.generate import generate
from sdk.pipeline import verify_bundle
from sdk.progress import SilentReporter
from tests.language.conftest import make_config, save_model

pytest.importorskip("executorch")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def float_bundle(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "float"
    return sdk.package(str(llama), device="pixel8", target="executorch", uniform="fp32", context=200, out=out)


def test_a_float_bundle_writes_what_transformers_writes(float_bundle: Bundle, llama: Path) -> None:
    shown: list[str] = []
    made = generate(float_bundle, "Are you going to the island?", 24, plain=True, show=shown.append)
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama)
    ids = torch.tensor([tokenizer("Are you going to the island?")["input_ids"]])
    model = transformers.AutoModelForCausalLM.from_pretrained(llama)
    want = model.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=1, pad_token_id=1)[0, ids.shape[1] :]
    assert list(made.tokens) == [token for token in want.tolist() if token != 1]
    assert made.text.startswith("".join(shown)) and made.prompt_tokens == ids.shape[1]
    assert made.prefill_speed > 0 and made.resident_bytes > made.model_bytes


def test_the_manifest_says_what_a_runtime_needs(float_bundle: Bundle) -> None:
    language = float_bundle.manifest.language
    assert language is not None
    assert (language.family, language.context, language.window) == ("llama", 200, 127)
    assert language.cache_bytes == 2 * 2 * 2 * 16 * 4 * 200
    assert language.agreement == 1 and language.divergence == pytest.approx(0, abs=1e-9)
    assert all(found.ok for found in verify_bundle(float_bundle.path, SilentReporter()))
    file = float_bundle.path / "tokenizer" / "tokenizer.json"
    whole = file.read_bytes()
    file.write_bytes(whole + b" ")
    assert [f.what for f in verify_bundle(float_bundle.path, SilentReporter()) if not f.ok] == ["tokenizer"]
    file.write_bytes(whole)


def test_a_quantized_bundle_computes_its_reference_to_the_bit(llama: Path, tmp_path: Path) -> None:
    bundle = sdk.package(str(llama), device="pixel8", target="executorch", uniform="q4", context=200, out=tmp_path / "out")
    language = bundle.manifest.language
    assert language is not None and any("dynamic" in layer.realised for layer in bundle.manifest.layers)
    assert language.agreement == 1 and language.divergence == pytest.approx(0, abs=1e-9)
    assert bundle.manifest.measured.relative_error.value == 0
    assert bundle.manifest.rounding_floor.value > 0


def test_long_prompts_fill_the_context_and_longer_ones_are_refused(float_bundle: Bundle) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(float_bundle.path / "tokenizer")
    text = tokenizer.decode([260] * 195)
    made = generate(float_bundle, text, 100, plain=True)
    assert made.stopped in ("context", "end") and made.prompt_tokens + len(made.tokens) <= 201
    with pytest.raises(BadInput, match="holds 200 with the answer"):
        generate(float_bundle, text * 2, 8, plain=True)


def test_a_quantized_plan_keeps_its_budget_even_with_an_all_zero_row(tmp_path: Path, capsys: Any) -> None:
    def silence(model: Any) -> None:
        model.model.embed_tokens.weight[7] = 0
        model.model.layers[0].mlp.down_proj.weight[5] = 0

    folder = save_model(tmp_path / "model", make_config(tie_word_embeddings=True), change=silence)
    flags = ["--device", "pixel8", "--target", "executorch", "--context", "64", "--uniform", "q4", "--json"]
    assert run(["package", str(folder), *flags, "--out", str(tmp_path / "out")]) == 0
    manifest = json.loads(capsys.readouterr().out)["bundles"][0]["manifest"]
    assert {layer["realised"] for layer in manifest["layers"]} <= {"int4_g32", "int4_g32_dynamic"}
    predicted, measured = (manifest[kind]["artifact_bytes"]["value"] for kind in ("predicted", "measured"))
    assert measured == pytest.approx(predicted, rel=0.03)  # all but the graph is exact, and it is half of this file
    assert run(["generate", str(tmp_path / "out"), "Hello", "--max-tokens", "4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["origin"] == "host" and len(said["tokens"]) <= 4


def test_other_targets_and_models_say_so(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'null' does not take language models"):
        sdk.package(str(llama), device="pixel8", target="null", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
