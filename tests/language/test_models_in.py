"""Language models come in from a Hugging Face directory or a GGUF with their facts, or are refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sdk.errors import BadInput
from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.models.text import windows
from tests.language.conftest import TEMPLATE, make_config, make_tokenizer, save_model
from tests.language.gguf_files import write_gguf


def test_the_decoder_computes_what_transformers_does_and_keeps_the_names(llama: Path) -> None:
    model = load_model(str(llama), context=128)
    language = model.language
    assert language is not None
    assert (language.family, language.context, language.window, language.ends) == ("llama", 128, 127, (1,))
    assert language.cache_bytes(100) == 2 * 2 * 2 * 16 * 4 * 100
    names = [layer.name for layer in model.inventory.layers]
    assert names[0] == "model.embed_tokens" and names[-1] == "lm_head" and len(names) == 2 + 2 * 7
    assert model.inventory["lm_head"].tied == ("model.embed_tokens.weight",)
    tokens = torch.randint(0, 400, (1, 127), generator=torch.Generator().manual_seed(1))
    plain = transformers.AutoModelForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        want, (got,) = plain(tokens).logits, model.module()(tokens)
    assert torch.allclose(want, got, atol=1e-5)


GRANITE = {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1, "logits_scaling": 4.0}


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "mistral", "gemma3_text", "phi3", "olmo2", "granite"])
def test_other_families_compute_what_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / kind, make_config(kind, **(GRANITE if kind == "granite" else {})))
    model = load_model(str(folder), context=64)
    tokens = torch.randint(0, 400, (1, 61), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = transformers.AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
        (got,) = model.module()(tokens)
    assert torch.allclose(want, got, atol=1e-5)


def test_texts_become_whole_windows(llama: Path) -> None:
    language = load_model(str(llama), context=64).language
    assert language is not None
    made = windows(language, ["one two three " * 40, "four five " * 40])
    assert made and all(row.shape == (1, 61) for (row,) in made)
    assert made[0][0][0, 0] == language.begin
    with pytest.raises(BadInput, match="needs at least 61"):
        windows(language, ["too short"])


REFUSED = {
    "context": (lambda: make_config(), 1000, "was made for 256 tokens"),
    "too little context": (lambda: make_config(), 5, "at least 32 tokens"),
    "looks back": (lambda: make_config("mistral", sliding_window=64), 128, "look back 64 tokens"),
    "vocabulary": (lambda: make_config(vocab_size=300), 64, "380 tokens, its embedding 300 rows"),
    "another tokenizer": (lambda: make_config(vocab_size=900), 64, "belongs to another model"),
}


def test_tokens_that_were_added_without_rows_are_named(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<pad>"])
    save_model(tmp_path / "model", make_config(vocab_size=380), tokenizer)
    with pytest.raises(BadInput, match=r"no rows for '<pad>', which its tokenizer adds .* 380 tokens: take them out"):
        load_model(str(tmp_path / "model"), context=64)


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    config, context, words = REFUSED[case]
    save_model(tmp_path / "model", config())
    with pytest.raises(BadInput, match=words):
        load_model(str(tmp_path / "model"), context=context)


@pytest.mark.parametrize(
    ("kind", "architecture", "words"),
    [
        ("t5", "T5ForConditionalGeneration", "encoder-decoder"),
        ("llava", "LlavaForConditionalGeneration", "reads more than text"),
        ("mamba", "MambaForCausalLM", "of the family mamba, which is not among"),
        ("gpt2", "GPT2LMHeadModel", "of the family gpt2, which is not among"),
    ],
)
def test_other_kinds_of_models_are_refused(kind: str, architecture: str, words: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(kind)
    config.architectures = [architecture]
    config.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=words):
        load_model(str(tmp_path))


def test_an_adapter_alone_is_told_how_to_become_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="is an adapter alone: merge it into its base model"):
        load_model(str(tmp_path))


def test_a_missing_tokenizer_is_said(llama: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((llama / name).read_bytes())
    with pytest.raises(BadInput, match="needs its tokenizer"):
        load_model(str(tmp_path))


def test_nan_weights_are_named(tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")

    folder = save_model(tmp_path / "model", make_config(), change=spoil)
    with pytest.raises(BadInput, match=r"layers\.1\.mlp\.up_proj\.weight has 1 NaN"):
        load_model(str(folder))


def test_a_context_for_another_model_is_refused() -> None:
    with pytest.raises(BadInput, match="not a language model"):
        load_model(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), context=64)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("qwen") / "tiny", make_config("qwen3", tie_word_embeddings=True, head_dim=128))
    write_gguf(folder / "tiny.gguf", folder)
    return folder


def test_a_gguf_gives_the_same_model_as_the_directory(qwen: Path) -> None:
    one, other = load_model(str(qwen), context=64), load_model(str(qwen / "tiny.gguf"), context=64)
    assert one.inventory.layers == other.inventory.layers
    tokens = torch.randint(0, 380, (1, 61), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # the epsilon of norms is a float32 in the GGUF
        assert torch.allclose(one.module()(tokens)[0], other.module()(tokens)[0], atol=1e-5)
    assert one.language is not None and other.language is not None
    text = "The ferry left the harbour, 12.5 % later."
    assert one.language.tokenizer(text)["input_ids"] == other.language.tokenizer(text)["input_ids"]


POSITIONS: dict[str, Any] = {
    "llama": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0},
    "phi3": {"rope_type": "default", "partial_rotary_factor": 0.5},
    "gemma3_text": {},
    "qwen3": {},
}
"""Family, or way of Llama's, and how its positions are scaled."""


@pytest.mark.parametrize("case", POSITIONS)
def test_a_gguf_has_the_positions_heads_and_tokens_of_its_directory(case: str, tmp_path: Path) -> None:
    """Read by transformers alone it has other positions, and its tokenizer a token that the embedding has not."""
    changes = {"rope_parameters": POSITIONS[case] | {"rope_theta": 10000.0, "original_max_position_embeddings": 32}}
    if case == "phi3":
        del changes["rope_parameters"]["original_max_position_embeddings"]
    kind = case if case in ("phi3", "gemma3_text", "qwen3") else "llama"
    folder = save_model(tmp_path / "model", make_config(kind, **(changes if POSITIONS[case] else {})))
    write_gguf(folder / "model.gguf", folder)
    one, other = load_model(str(folder), context=64), load_model(str(folder / "model.gguf"), context=64)
    tokens = torch.randint(0, 380, (1, 61), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(one.module()(tokens)[0], other.module()(tokens)[0], atol=1e-5)
    assert other.language is not None
    assert max(other.language.tokenizer("<|endoftext|> <unk> <pad>")["input_ids"]) < 400


def test_a_scaling_of_positions_that_a_gguf_does_not_tell_in_full_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", make_config())
    write_gguf(folder / "model.gguf", folder, scaling="yarn")
    with pytest.raises(BadInput, match=r"scales its positions by 'yarn', .* give its Hugging Face directory"):
        load_model(str(folder / "model.gguf"), context=64)


LENGTHS: dict[str, Any] = {
    "dynamic": ("llama", {"rope_type": "dynamic", "factor": 4.0}, 64),
    "longrope within": ("phi3", {"rope_type": "longrope", "long_factor": [2.0] * 8, "short_factor": [1.5] * 8}, 64),
    "longrope beyond": ("phi3", {"rope_type": "longrope", "long_factor": [2.0] * 8, "short_factor": [1.5] * 8}, 128),
    "longrope of parts": (
        "phi3",
        {"rope_type": "longrope", "long_factor": [2.0] * 6, "short_factor": [1.5] * 6, "partial_rotary_factor": 0.75},
        128,
    ),
}
"""Family, positions whose frequencies depend on a text's length, context."""


@pytest.mark.parametrize("case", LENGTHS)
def test_frequencies_are_those_of_the_context(case: str, tmp_path: Path) -> None:
    kind, rotary, context = LENGTHS[case]
    first = {"original_max_position_embeddings": 64} if kind == "phi3" else {}
    whole = 64 if kind == "llama" else 256
    changes = {"max_position_embeddings": whole, "rope_parameters": rotary | first | {"rope_theta": 10000.0}, **first}
    folder = save_model(tmp_path / "model", make_config(kind, **changes))
    model = load_model(str(folder), context=context)
    tokens = torch.randint(0, 400, (1, context - 1 if context == 128 else 61), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = transformers.AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
        assert torch.allclose(want, model.module()(tokens)[0], atol=1e-5)


def test_an_answer_ends_where_checkpoint_and_template_say(tmp_path: Path) -> None:
    """Phi 3 names its turn's end in the generation config alone, a GGUF of it nowhere but in the template."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    tokenizer.chat_template = TEMPLATE.replace("{% endfor %}", "<|end|>\n{% endfor %}")
    folder = save_model(tmp_path / "model", make_config(), tokenizer)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 5]}))
    language = load_model(str(folder), context=64).language
    assert language is not None and language.ends == (1, 5, 380)


def test_a_damaged_gguf_is_refused(qwen: Path, tmp_path: Path) -> None:
    whole = (qwen / "tiny.gguf").read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BadInput, match=r"not a whole GGUF|cut short"):
            load_model(str(tmp_path / "cut.gguf"))
    (tmp_path / "other.gguf").write_bytes(b"PK\3\4" + whole[4:])
    with pytest.raises(BadInput, match="not a whole GGUF"):
        load_model(str(tmp_path / "other.gguf"))
    for name, mend in (("rwkv7", "qwen3$"), ("smollm3", "give its Hugging Face directory")):
        write_gguf(tmp_path / "strange.gguf", qwen, name)
        with pytest.raises(BadInput, match=f"'{name}' is not among .*{mend}"):
            load_model(str(tmp_path / "strange.gguf"))
    with pytest.raises(BadInput, match="no such file"):
        load_model(str(tmp_path / "absent.gguf"))
    write_gguf(tmp_path / "part.gguf", qwen, parts=2)
    with pytest.raises(BadInput, match="is one of 2 parts: join them"):
        load_model(str(tmp_path / "part.gguf"))


def test_the_tokenizer_of_the_tests_covers_its_vocabulary() -> None:
    assert len(make_tokenizer()) == 380


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    """They would be random, and differ from run to run."""
    from safetensors.torch import load_file, save_file

    folder = save_model(tmp_path / "lacking", make_config())
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks 1 of the weights .* model\.layers\.1\.mlp\.up_proj\.weight: download it again"):
        load_model(str(folder), context=64)


def test_a_chat_template_that_fails_is_refused(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{{ messages"
    with pytest.raises(BadInput, match="its chat template fails on a prompt"):
        load_model(str(save_model(tmp_path / "model", make_config(), tokenizer)), context=64)


def test_token_ids_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    model = load_model(str(save_model(tmp_path / "model", make_config())), context=64)
    with pytest.raises(BadInput, match=r"sample 0 has token ids from 5,000 to 5,000; the model's vocabulary has 400"):
        take_samples(model, [torch.full((1, 61), 5000)])
