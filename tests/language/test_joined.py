"""Joined projections are taken apart: the same function on the same weights, files that read less than a window."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import sdk
from sdk.errors import BadInput
from sdk.generate import generate
from sdk.models.load import load_model
from tests.language.conftest import make_config, save_model

PARTIAL = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}


@pytest.fixture(scope="module")
def phi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = make_config("phi3", tie_word_embeddings=False, rope_parameters=PARTIAL)
    return save_model(tmp_path_factory.mktemp("models") / "phi", config)


def test_each_part_is_a_layer_with_its_rows_of_the_joined_weight(phi: Path) -> None:
    model, held = load_model(str(phi), context=64), load_file(phi / "model.safetensors")
    names = {layer.name for layer in model.inventory.layers}
    first = "model.layers.0"
    joined = {
        f"{first}.self_attn.qkv_proj": [f"{first}.self_attn.qkv_proj.{part}" for part in "qkv"],
        f"{first}.mlp.gate_up_proj": [f"{first}.mlp.gate_up_proj.gate", f"{first}.mlp.gate_up_proj.up"],
    }
    for whole, parts in joined.items():
        weights = [model.program.state_dict[f"{part}.weight"] for part in parts]
        assert set(parts) <= names and whole not in names
        want = held[f"{whole}.weight"].clone()
        if whole.endswith("qkv_proj"):  # 4 heads of queries, 2 of keys; channels 0 and 4 of 16 were turned together, now 0 and 8
            order = [*range(4), *range(8, 12), *range(4, 8), *range(12, 16)]
            want[: 6 * 16] = want[: 6 * 16].reshape(6, 16, -1)[:, order].flatten(0, 1)
        assert torch.equal(torch.cat(weights), want)
        assert all(w.untyped_storage().nbytes() == w.nbytes for w in weights)  # backends write a tensor's whole storage


def test_a_joined_weight_that_the_checkpoint_lacks_is_missed(phi: Path, tmp_path: Path) -> None:
    shutil.copytree(phi, tmp_path / "less")
    held = load_file(tmp_path / "less" / "model.safetensors")
    del held["model.layers.1.self_attn.qkv_proj.weight"]
    save_file(held, tmp_path / "less" / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 3 of the weights .* model.layers.1.self_attn.qkv_proj.q.weight"):
        load_model(str(tmp_path / "less"), context=64)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["executorch", "tflite"])
@pytest.mark.parametrize("uniform", ["fp32", "q8"])
def test_a_bundle_reads_half_a_window_and_answers(target: str, uniform: str, phi: Path, tmp_path: Path) -> None:
    made: Any = sdk.package(str(phi), device="pixel8", target=target, uniform=uniform, context=128, out=tmp_path / "out")
    assert made.manifest.language.agreement == 1
    if uniform == "fp32":
        said = generate(made, "Are you going to the island?", 12, plain=True)
        ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(phi)("Are you going to the island?")["input_ids"]])
        model = transformers.AutoModelForCausalLM.from_pretrained(phi)
        want = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=1, pad_token_id=1)[0, ids.shape[1] :]
        assert list(said.tokens) == [token for token in want.tolist() if token != 1]
