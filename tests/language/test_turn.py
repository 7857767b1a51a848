"""A turned language model computes the same, no channel of its stream stands out, and it is turned only where that is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sdk.models.joined import take_apart
from sdk.models.load import load_model
from sdk.models.running import run_float
from sdk.models.spill import Spill
from sdk.models.turn import FAMILIES, Turn, changes
from sdk.pipeline.request import Request
from sdk.pipeline.sources import read_sources
from sdk.quantize import quantize, reference, reference_module
from sdk.schemes import scheme_named
from tests.language.conftest import make_config, save_model
from tests.language.gguf_files import write_gguf


def never(weight: Any) -> bool:
    """No weight lies on a grid."""
    return False


def louder(model: Any) -> None:
    """Norms and biases that are not alike, and one loud channel in the stream."""
    for name, param in model.named_parameters():
        if param.dim() == 1:
            param.copy_(torch.randn_like(param) + 1 if "norm" in name else torch.randn_like(param))
    model.model.embed_tokens.weight[:, 3] *= 60


def causal(kind: str, tied: bool = True, **words: Any) -> Any:
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(make_config(kind, tie_word_embeddings=tied, **words)).eval()
    made.config.architectures = [type(made).__name__]
    with torch.no_grad():
        louder(made)
    return made


def apply(found: Any) -> None:
    for parameter, change in found.items():
        parameter.data = change(parameter.data)


@pytest.mark.parametrize("size", [48, 64, 576, 7])
def test_a_turn_is_orthogonal(size: int) -> None:
    matrix = Turn(size, 1)(torch.eye(size)).double()
    assert (matrix @ matrix.T - torch.eye(size)).abs().max() < 1e-6


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_the_function_is_the_same(kind: str, tied: bool) -> None:
    words = {"llama": {"attention_bias": True, "mlp_bias": True}, "granite": {"residual_multiplier": 0.5}}.get(kind, {})
    model, tokens = causal(kind, tied, **words), torch.randint(0, 380, (1, 40))
    with torch.no_grad():
        want = model(tokens).logits
        take_apart(model)
        apply(changes(model, never))
        got = model(tokens).logits
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5


def test_no_channel_stands_out() -> None:
    model = causal("llama")
    apply(changes(model, never))
    energy = model.model.embed_tokens.weight.square().mean(0)
    assert float(energy.max() / energy.mean()) < 3


def test_what_is_not_turned() -> None:
    assert changes(causal("gemma3_text"), never) == {}
    assert changes(causal("llama"), lambda weight: True) == {}


def request(model: Path, **words: Any) -> Request:
    return Request(**({"model": str(model), "device": "pixel8", "target": "executorch", "context": 64} | words))


def test_who_asks_for_it(tmp_path: Path) -> None:
    """Not for a float bundle, not for a checkpoint of few bits."""
    model = save_model(tmp_path / "tied", make_config(tie_word_embeddings=True), change=louder)
    assert read_sources(request(model)).exported.turned
    assert not read_sources(request(model, uniform="fp32")).exported.turned
    assert read_sources(request(model, device="iphone15pro", target="coreml")).exported.turned

    def on_grid(each: Any) -> None:
        for part in each.modules():
            if isinstance(part, torch.nn.Linear):
                part.weight.copy_(torch.randint(-7, 8, part.weight.shape) * torch.tensor(2.0**-6))

    few = save_model(tmp_path / "few", make_config(tie_word_embeddings=False), change=on_grid)
    assert not read_sources(request(few)).exported.turned


def test_a_big_model_is_turned_on_its_way_into_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(save_model(tmp_path / "model", make_config(tie_word_embeddings=True), change=louder))
    tokens = torch.randint(0, 380, (1, 61))
    plain = load_model(model, context=64)
    monkeypatch.setattr("sdk.models.spill.BIG", 1000)
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    spilt, turned = load_model(model, context=64), load_model(model, context=64, on_grid=never)
    assert isinstance(spilt.spill, Spill) and spilt.digest == plain.digest
    with torch.no_grad():
        want = plain.module()(tokens)[0]
        assert torch.equal(spilt.module()(tokens)[0], want)
        spilt.release()
        assert torch.equal(spilt.module()(tokens)[0], want)
        given_back = []
        monkeypatch.setattr("sdk.models.running.HELD", 100_000)
        monkeypatch.setattr(Spill, "release", lambda spill, real=Spill.release: (given_back.append(real(spill))))
        assert torch.equal(run_float(spilt, spilt.module(), tokens)[0], want) and len(given_back) > 2
        assert float((turned.module()(tokens)[0] - want).abs().max() / want.abs().max()) < 1e-5


def test_the_reference_of_a_big_model_unfolds_weights_when_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = str(save_model(tmp_path / "model", make_config(tie_word_embeddings=True)))
    tokens = torch.randint(0, 380, (1, 61))
    plain = load_model(model, context=64)
    monkeypatch.setattr("sdk.models.spill.BIG", 1000)
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    spilt = load_model(model, context=64)
    schemes = {layer.name: scheme_named("int4_channel") for layer in plain.inventory.layers}
    want = reference(quantize(plain, schemes))(tokens)[0]
    made = reference_module(quantize(spilt, schemes))
    assert not {w for layer in plain.inventory.layers for w in layer.weights} & {name for name, _ in made.named_parameters()}
    with torch.no_grad():
        assert torch.equal(made(tokens)[0], want)


def test_a_gguf_is_turned_too(tmp_path: Path) -> None:
    """Its configuration names no class."""
    folder = save_model(tmp_path / "qwen", make_config("qwen3", head_dim=128), change=louder)
    write_gguf(folder / "tiny.gguf", folder)
    assert read_sources(request(folder / "tiny.gguf")).exported.turned


def test_exact_turns_nothing_and_a_grid_with_signed_scales_is_one(tmp_path: Path) -> None:
    def on_grid(each: Any) -> None:
        for part in each.modules():
            if isinstance(part, torch.nn.Linear):
                codes = torch.randint(-8, 8, (part.weight.shape[0], part.weight.shape[1] // 32, 32)).float()
                codes[..., 0] = -8
                sign = torch.where(torch.rand(*codes.shape[:2], 1) < 0.5, -1.0, 1.0)
                part.weight.copy_((codes * sign * 2.0**-7).reshape(part.weight.shape))

    few = save_model(tmp_path / "few", make_config(tie_word_embeddings=False), change=on_grid)
    assert not read_sources(request(few)).exported.turned
    plain = save_model(tmp_path / "plain", make_config(tie_word_embeddings=False), change=louder)
    assert not read_sources(request(plain, uniform="exact")).exported.turned
