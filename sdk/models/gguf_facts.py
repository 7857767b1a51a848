"""What transformers leaves unread in a GGUF file: how positions are scaled, the size of a head; and the tokens that it adds."""

from __future__ import annotations

import json
from typing import Any

from sdk.errors import BadInput

FREQUENCIES = "rope_freqs.weight"
"""Divisors of the frequencies of positions (Llama 3.1 and later)."""

LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"
"""The same for contexts beyond and within the one that the model was first trained for (Phi 3)."""


def complete(config: Any, reader: Any, architecture: str, reference: str) -> None:
    """Write into transformers' `config` the facts of positions and heads that it did not read; BadInput for unknown scalings."""
    size = _value(reader, f"{architecture}.attention.key_length")
    if size is not None and hasattr(config, "head_dim"):
        config.head_dim = size
    cap = _value(reader, f"{architecture}.final_logit_softcapping")
    if cap is not None and hasattr(config, "final_logit_softcapping"):
        config.final_logit_softcapping = cap
    if (config.pad_token_id or 0) >= config.vocab_size:
        config.pad_token_id = None  # a family's default, which this vocabulary has not
    held = config.rope_parameters
    rotary = held.get("full_attention", held)
    theta = _value(reader, f"{architecture}.rope.freq_base")
    if theta is not None:
        rotary["rope_theta"] = theta
    turned = _value(reader, f"{architecture}.rope.dimension_count")
    whole = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if turned is not None and turned != whole:
        if "partial_rotary_factor" not in rotary:
            raise BadInput(
                f"model {reference!r} turns {turned} of a head's {whole} channels by position, which {config.model_type} "
                "does not: give its Hugging Face directory"
            )
        rotary["partial_rotary_factor"] = turned / whole
    rotary.update(_scaling(reader, architecture, reference))


def _scaling(reader: Any, architecture: str, reference: str) -> dict[str, Any]:
    """The scaling of positions in the words of transformers."""
    first = _value(reader, f"{architecture}.rope.scaling.original_context_length")
    long, short = _tensor(reader, LONG), _tensor(reader, SHORT)
    if long is not None and short is not None:
        named = {"rope_type": "longrope", "long_factor": long.tolist(), "short_factor": short.tolist()}
        facts = {"original_max_position_embeddings": first,
                 "attention_factor": _value(reader, f"{architecture}.rope.scaling.attn_factor")}  # fmt: skip
        return named | {name: value for name, value in facts.items() if value is not None}
    kind = _value(reader, f"{architecture}.rope.scaling.type") or "none"
    factor = _value(reader, f"{architecture}.rope.scaling.factor")
    if kind == "none" or factor in (None, 0.0, 1.0):
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn" and first is not None:
        return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": first}
    raise BadInput(
        f"model {reference!r} scales its positions by {kind!r}, which is not read from GGUF files: "
        "give its Hugging Face directory"
    )


def divide_frequencies(model: Any, reader: Any) -> None:
    """Apply the file's divisors of frequencies to a model of transformers that was made without them."""
    import torch

    divisors = _tensor(reader, FREQUENCIES)
    if divisors is not None:
        rotary = model.model.rotary_emb
        rotary.inv_freq = rotary.inv_freq / torch.from_numpy(divisors.copy())


def own_tokens(tokenizer: Any, reader: Any) -> Any:
    """Take out of a `tokenizer` the tokens behind the file's last: the embedding has no rows for what transformers adds."""
    count = len(reader.fields["tokenizer.ggml.tokens"].data)
    if len(tokenizer) <= count:
        return tokenizer
    made = json.loads(tokenizer.backend_tokenizer.to_str())
    made["added_tokens"] = [token for token in made["added_tokens"] if token["id"] < count]
    for name, token in tokenizer.special_tokens_map.items():
        if isinstance(token, str) and tokenizer.convert_tokens_to_ids(token) >= count:
            setattr(tokenizer, name, None)
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(made))
    return tokenizer


def _value(reader: Any, key: str) -> Any:
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def _tensor(reader: Any, name: str) -> Any:
    """A float32 array, or None."""
    import numpy as np

    found = next((tensor for tensor in reader.tensors if tensor.name == name), None)
    return None if found is None else np.asarray(found.data, np.float32).reshape(-1)
