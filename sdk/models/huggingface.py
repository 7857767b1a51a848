"""Hugging Face models: a local directory or a hub id becomes a module with example inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.errors import BadInput, Missing
from sdk.models.joined import apart
from sdk.models.language import as_decoder, describe, is_language, refuse_other_kinds
from sdk.models.references import Loaded

SEQUENCE = 128


def load_huggingface(reference: str, path: Path, trust: bool, context: int | None = None) -> Loaded:
    """Load the model class that the directory's config names, with safetensors weights only unless `trust`.

    Encoders get example token ids of [1, 128] (shorter when the model is), vision models one image. Decoder-only
    language models come as `as_decoder` makes them, for `context` tokens.
    """
    try:
        import transformers
    except ImportError as error:
        raise Missing(
            f"model {reference!r} needs transformers: pip install 'snugfit[huggingface]'"
        ) from error
    place = str(path) if path.is_dir() else reference
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise BadInput(
            f"model {reference!r} is an adapter alone: merge it into its base model (peft's `merge_and_unload`), save the whole "
            "model with `save_pretrained`, and give that directory"
        )
    if path.is_dir() and not (path / "config.json").is_file():
        raise BadInput(f"model {reference!r}: the directory has no config.json")
    if not trust and _brings_code(path):
        raise BadInput(f"model {reference!r} brings its own Python code, which is run only with --trust (trust: true)")
    try:
        config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=trust)
        refuse_other_kinds(config, reference)
        tokenizer = _tokenizer(transformers, place, reference, trust) if is_language(config) else None
        generation = _generation(transformers, place) if tokenizer is not None else None
        language = describe(config, tokenizer, context, reference, generation) if tokenizer is not None else None
        module, found = _class_of(transformers, config).from_pretrained(
            place, config=config, use_safetensors=None if trust else True, attn_implementation="sdpa",
            trust_remote_code=trust, output_loading_info=True,
        )
    except BadInput:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BadInput(f"model {reference!r} cannot be loaded as a Hugging Face model: {first}") from error
    name, missing = Path(place).name.lower(), tuple(sorted(found["missing_keys"]))
    unexpected = tuple(sorted(found["unexpected_keys"]))
    if language is None:
        return Loaded(name, reference, _first_output(module.eval()), _example(config), None, missing, unexpected)
    made, example = as_decoder(module, language.context), _tokens(language.window)
    return Loaded(name, reference, made, example, language, apart(missing), unexpected)


def _tokens(count: int) -> dict[str, Any]:
    import torch

    return {"tokens": torch.ones(1, count, dtype=torch.int64)}


def _tokenizer(transformers: Any, place: str, reference: str, trust: bool) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=trust)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise BadInput(f"model {reference!r}: a language model needs its tokenizer, which cannot be read: {first}") from error


def _generation(transformers: Any, place: str) -> Any:
    """The checkpoint's generation config, which may name more tokens that end a text; None without."""
    try:
        return transformers.GenerationConfig.from_pretrained(place)
    except OSError:
        return None


def _brings_code(path: Path) -> bool:
    import json

    try:
        return "auto_map" in json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False


def _class_of(transformers: Any, config: Any) -> Any:
    names = getattr(config, "architectures", None) or []
    found = getattr(transformers, names[0], None) if names else None
    return found or transformers.AutoModel


def _example(config: Any) -> dict[str, Any]:
    import torch

    vision = getattr(config, "image_size", None)
    if isinstance(vision, int | list | tuple):
        height, width = (vision, vision) if isinstance(vision, int) else vision
        return {"pixel_values": torch.zeros(1, getattr(config, "num_channels", 3), height, width)}
    limit = getattr(config, "max_position_embeddings", None) or SEQUENCE
    shape = (1, min(SEQUENCE, limit))
    return {"input_ids": torch.ones(shape, dtype=torch.int64), "attention_mask": torch.ones(shape, dtype=torch.int64)}


def _first_output(module: Any) -> Any:
    """Reduce a ModelOutput to what an app reads: logits, else the embedding, else the last hidden state."""
    import torch

    class FirstOutput(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, **inputs: Any) -> Any:
            cache = {"use_cache": False} if hasattr(module.config, "use_cache") else {}
            outputs = self.model(**inputs, return_dict=True, **cache)
            for name in ("logits", "image_embeds", "text_embeds", "last_hidden_state"):
                if outputs.get(name) is not None:
                    return {name: outputs[name]}
            return outputs.to_tuple()[0]

    return FirstOutput()
