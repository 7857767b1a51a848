"""What a decoder-only language model is besides its graph, and which ones this SDK takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdk.errors import BadInput
from sdk.models.joined import take_apart

FAMILIES = ("gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3")
"""Model types of transformers whose attention is causal, one position after the other, without other state."""

WINDOWS = (127, 113, 109, 103, 101, 97, 89, 83, 79, 73, 71, 67, 61, 59, 53, 47, 43, 41, 37, 31, 29, 23, 19, 17, 13, 11, 7)
"""Tokens of one calibration sample, and the most that a prefill step takes at once: the first that context and model allow.

The graph is traced for this many tokens, which is quick. Targets that need any number of them find the extent by its value,
so it is a prime that no other extent of the model equals.
"""

LEAST = 32
"""Tokens that a context must have."""

CONTEXT = 512
"""Tokens that a bundle can hold where nobody says how many."""

_ATTENTION = "sdk_causal"


@dataclass(frozen=True, slots=True)
class Language:
    """The facts of a language model that its runtime needs.

    `context`: tokens (prompt and answer) that the bundle can hold; `window`: tokens of the traced graph, the most that one
    step takes; `vocabulary`: rows of the embedding; `layers`,
    `kv_heads` and `head_dim` size the key-value cache; `begin` and `ends`: ids of the tokens that begin and end a text.
    `tokenizer` is that of transformers, with the chat template when there is one.
    """

    family: str
    context: int
    window: int
    vocabulary: int
    layers: int
    kv_heads: int
    head_dim: int
    begin: int | None
    ends: tuple[int, ...]
    tokenizer: Any = field(repr=False, compare=False)

    def cache_bytes(self, context: int | None = None, width: int = 4) -> int:
        """Bytes of the key-value cache for `context` tokens (default: the bundle's), `width` bytes a number."""
        return 2 * self.layers * self.kv_heads * self.head_dim * width * (context or self.context)


def refuse_other_kinds(config: Any, label: str) -> None:
    """Raise BadInput for encoder-decoder, vision-language and unknown decoder architectures.

    `config` is that of transformers; classifiers and encoders pass.
    """
    kind, names = config.model_type, list(getattr(config, "architectures", None) or [])
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput(f"model {label!r} is an encoder-decoder ({kind}); decoder-only language models are taken: {_known()}")
    if any(name.endswith("ForConditionalGeneration") for name in names) or hasattr(config, "audio_config"):
        raise BadInput(
            f"model {label!r} reads more than text ({kind}); save its language model alone, one of {_known()}"
        )
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names) and kind not in FAMILIES:
        raise BadInput(f"model {label!r} is of the family {kind}, which is not among those that are taken: {_known()}")


def is_language(config: Any) -> bool:
    """Say whether the config of transformers is that of a language model which this SDK takes."""
    names = getattr(config, "architectures", None) or []
    return config.model_type in FAMILIES and any(name.endswith("ForCausalLM") for name in names)


def describe(config: Any, tokenizer: Any, context: int | None, label: str, generation: Any = None) -> Language:
    """Return the facts of a model; BadInput when context, tokenizer or attention do not fit.

    `generation`: transformers' generation config of the checkpoint, where it has one.
    """
    heads = config.num_attention_heads
    whole = _context(config, context, label)
    made = Language(
        family=config.model_type,
        context=whole,
        window=_window(config, whole),
        vocabulary=config.vocab_size,
        layers=config.num_hidden_layers,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        begin=getattr(tokenizer, "bos_token_id", None),
        ends=(),
        tokenizer=tokenizer,
    )
    _check_tokenizer(made, label)
    _check_template(tokenizer, label)
    made = replace(made, ends=_ends((config, generation, tokenizer), tokenizer))
    return made


def _context(config: Any, asked: int | None, label: str) -> int:
    """The context asked for (default: CONTEXT), which model and attention must be able to hold."""
    longest = getattr(config, "max_position_embeddings", None) or CONTEXT
    context = min(CONTEXT, longest) if asked is None else asked
    if context < LEAST:
        raise BadInput(f"--context {context}: a prompt and an answer need at least {LEAST} tokens")
    if context > longest:
        raise BadInput(f"--context {context:,}: model {label!r} was made for {longest:,} tokens: ask for at most that")
    sliding = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if sliding and context > sliding and (kinds is None or "sliding_attention" in kinds):
        raise BadInput(
            f"--context {context:,}: model {label!r} has layers that look back {sliding:,} tokens at most, "
            "which the runtime's attention does not do: ask for at most that"
        )
    return context


def _window(config: Any, context: int) -> int:
    taken = {value for value in vars(config).values() if isinstance(value, int)}
    return next(count for count in WINDOWS if count <= context and count not in taken)


def _ends(tellers: tuple[Any, ...], tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens after which nothing follows: what `tellers` name, and what ends an answer in the chat template."""
    found = {_turn_end(tokenizer)}
    for teller in tellers:
        named = getattr(teller, "eos_token_id", None)
        found.update(named if isinstance(named, list | tuple) else [named])
    return tuple(sorted(i for i in found if isinstance(i, int)))


def _turn_end(tokenizer: Any) -> int | None:
    """Id of the special token that the chat template puts behind an answer; None without either."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    answer = "0123456789"
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": answer}]
    try:
        behind = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(answer)[2]
    except Exception:
        return None  # a template for other talks
    ids = tokenizer(behind.strip(), add_special_tokens=False)["input_ids"]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return ids[0] if ids and ids[0] in special else None


def _check_tokenizer(language: Language, label: str) -> None:
    count = len(language.tokenizer)
    beyond = [token for token, index in language.tokenizer.get_added_vocab().items() if index >= language.vocabulary]
    if count > language.vocabulary and len(beyond) == count - language.vocabulary:
        raise BadInput(
            f"model {label!r}: its embedding has no rows for {', '.join(map(repr, beyond[:4]))}, which its tokenizer adds to the "
            f"embedding's {language.vocabulary:,} tokens: take them out of the tokenizer, or `resize_token_embeddings`"
        )
    if count > language.vocabulary:
        raise BadInput(
            f"model {label!r}: its tokenizer has {count:,} tokens, its embedding {language.vocabulary:,} rows: "
            "they belong to different models"
        )
    if count < 0.9 * language.vocabulary:
        raise BadInput(
            f"model {label!r}: its tokenizer knows {count:,} of the embedding's {language.vocabulary:,} tokens: "
            "it belongs to another model"
        )


def _check_template(tokenizer: Any, label: str) -> None:
    """BadInput where the chat template cannot put a prompt into words."""
    if not getattr(tokenizer, "chat_template", None):
        return
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True, tokenize=False)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise BadInput(f"model {label!r}: its chat template fails on a prompt ({first}): mend it or take it out") from error


def as_decoder(model: Any, context: int) -> Any:
    """Return a causal model of transformers as a module: tokens [1, window] int64 → {"logits": [1, window, vocabulary]}.

    Its parameters keep their names, but those of joined linears (see `sdk.models.joined`). Positions count from 0; attention is
    one `scaled_dot_product_attention` a layer, which targets replace by theirs. Frequencies of positions that depend on a
    text's length are those for `context` tokens.
    """
    import torch

    _fix_frequencies(model, context)
    take_apart(model)
    _register_attention()
    model.config._attn_implementation = _ATTENTION

    class Decoder(type(model)):  # type: ignore[misc]
        def forward(self, tokens: Any) -> Mapping[str, Any]:
            positions = torch.arange(tokens.shape[1]).unsqueeze(0)
            found = super().forward(input_ids=tokens, position_ids=positions, use_cache=False, return_dict=True)
            return {"logits": found.logits}

    model.__class__ = Decoder
    return model.eval()


def _fix_frequencies(model: Any, context: int) -> None:
    """Let the frequencies of positions depend on the bundle's context instead of the text that is read.

    Those of `longrope` are others beyond the context that the model was first trained for; those of `dynamic` are its own
    within the context that the model was made for, and no bundle goes beyond.
    """
    rotary = model.model.rotary_emb
    kind = rotary.rope_type
    if not isinstance(kind, str) or kind not in ("longrope", "dynamic"):
        return
    if kind == "longrope" and context > model.config.rope_parameters["original_max_position_embeddings"]:
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        rotary.inv_freq, _ = ROPE_INIT_FUNCTIONS[kind](model.config, rotary.inv_freq.device, seq_len=context)
    rotary.rope_type = "default"


def _register_attention() -> None:
    """Tell transformers of plain causal attention, which needs no mask."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, lambda *args, **words: None)


def _attend(module: Any, query: Any, key: Any, value: Any, mask: Any = None, scaling: float | None = None, **_: Any) -> Any:
    import torch

    found = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )
    return found.transpose(1, 2), None


def _known() -> str:
    return ", ".join(FAMILIES)
