"""Writes a Hugging Face directory as a GGUF of float weights, with names and orders of llama.cpp's converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers

ARCHITECTURES = {"llama": "llama", "qwen3": "qwen3", "gemma3_text": "gemma3", "phi3": "phi3"}
"""Model type of transformers → architecture in the file."""


def write_gguf(path: Path, folder: Path, named: str | None = None, scaling: str | None = None, parts: int = 1) -> None:
    """Write the model in `folder`.

    The file says that it is of `named`, when given, that it scales positions by `scaling`, and that it is one of `parts`.
    """
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    config, architecture = model.config, ARCHITECTURES[model.config.model_type]
    writer = gguf.GGUFWriter(str(path), named or architecture)
    writer.add_name("tiny")
    if parts > 1:
        writer.add_uint16("split.count", parts)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    tensors = _positions(writer, model, size)
    if scaling is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        writer.add_rope_scaling_factor(4.0)
    writer.add_vocab_size(config.vocab_size)
    _tokens(writer, json.loads((folder / "tokenizer.json").read_text("utf-8")), config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not config.tie_word_embeddings:
            stem, _, leaf = name.rpartition(".")
            tensors[f"{names.get_name(stem)}.{leaf}"] = _arranged(name, tensor, config, architecture).contiguous().numpy()
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _positions(writer: Any, model: Any, size: int) -> dict[str, Any]:
    """Say how positions turn heads of `size`; return the tensors that say the rest."""
    held = model.config.rope_parameters
    rotary = held.get("full_attention", held)
    writer.add_rope_freq_base(rotary["rope_theta"])
    writer.add_rope_dimension_count(int(size * rotary.get("partial_rotary_factor", 1.0)))
    if rotary["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rotary["rope_type"]))
        writer.add_rope_scaling_factor(rotary["factor"])
        writer.add_rope_scaling_orig_ctx_len(rotary["original_max_position_embeddings"])
    if rotary["rope_type"] != "llama3":
        return {}
    plain = rotary["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
    return {"rope_freqs.weight": (plain / model.model.rotary_emb.inv_freq).numpy().astype(np.float32)}


def _tokens(writer: Any, tokenizer: Any, count: int) -> None:
    writer.add_tokenizer_model("gpt2")
    known = tokenizer["model"]["vocab"]
    writer.add_token_list([*sorted(known, key=known.get), *(f"[{i}]" for i in range(count - len(known)))])
    writer.add_token_types([3, 3] + [1] * (count - 2))
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def _arranged(name: str, tensor: Any, config: Any, architecture: str) -> Any:
    """A weight as llama.cpp has it: Llama's halves of each head in turns, Gemma's norms with their one."""
    if architecture == "gemma3" and "norm" in name:
        return tensor + 1
    if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        return tensor.reshape(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
    return tensor
