"""GGUF files: weights in any of llama.cpp's quantizations, configuration and tokenizer in one file."""

from __future__ import annotations

import functools
import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdk.errors import BadInput, Missing
from sdk.models.gguf_facts import complete, divide_frequencies, own_tokens
from sdk.models.joined import apart
from sdk.models.language import FAMILIES, as_decoder, describe
from sdk.models.references import Loaded

ARCHITECTURES = ("gemma3", "llama", "phi3", "qwen2", "qwen3")
"""Architectures of GGUF files that are read; Mistral's are `llama`."""


def load_gguf(reference: str, path: Path, context: int | None) -> Loaded:
    """Load a language model with its tokenizer; BadInput when the file is damaged or of another architecture."""
    import torch

    reader = _checked(reference, path)
    architecture = _architecture(reader)
    if architecture not in ARCHITECTURES:
        mend = "; give its Hugging Face directory" if architecture in FAMILIES else ""
        raise BadInput(
            f"model {reference!r}: architecture {architecture[:40]!r} is not among those that are read from GGUF files: "
            f"{', '.join(ARCHITECTURES)}{mend}"
        )
    with _alone(path) as folder, _read_once(Path(folder) / path.name, reader):
        import transformers

        name = path.name
        try:
            config = transformers.AutoConfig.from_pretrained(folder, gguf_file=name)
            complete(config, reader, architecture, reference)
            tokenizer = own_tokens(transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name), reader)
            language = describe(config, tokenizer, context, reference)
            causal, found = transformers.AutoModelForCausalLM.from_pretrained(
                folder, gguf_file=name, config=config, dtype=torch.float32, output_loading_info=True
            )
            divide_frequencies(causal, reader)
        except BadInput:
            raise
        except Exception as error:
            first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise BadInput(f"model {reference!r} cannot be read as a language model: {first}") from error
    example = {"tokens": torch.ones(1, language.window, dtype=torch.int64)}
    module = as_decoder(causal, language.context)
    return Loaded(path.stem.lower(), reference, module, example, language, apart(sorted(found["missing_keys"])))


def _checked(reference: str, path: Path) -> Any:
    """An open reader of a file whose tensors are all there; BadInput when it is no GGUF or cut short."""
    try:
        import gguf
        import transformers  # noqa: F401  (the two come together)
    except ImportError as error:
        raise Missing(f"model {reference!r} needs gguf and transformers: pip install 'snugfit[huggingface]'") from error
    if not path.is_file():
        raise BadInput(f"model {reference!r}: there is no such file")
    try:
        reader = gguf.GGUFReader(str(path))
    except Exception as error:
        raise BadInput(f"model {reference!r} is not a whole GGUF file ({_brief(error)}): download it again") from error
    parts = reader.fields.get("split.count")
    if parts is not None and parts.contents() > 1:
        raise BadInput(
            f"model {reference!r} is one of {parts.contents()} parts: join them with llama.cpp's `llama-gguf-split --merge`, "
            "and give the whole file"
        )
    size = path.stat().st_size
    ends = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors), default=0)
    if ends == 0 or ends > size:
        raise BadInput(f"model {reference!r} is cut short: its tensors end at byte {ends:,}, the file at {size:,}")
    return reader


def _architecture(reader: Any) -> str:
    field = reader.fields.get("general.architecture")
    return "" if field is None else bytes(field.parts[field.data[0]]).decode("utf-8", "replace")


@contextmanager
def _alone(path: Path) -> Iterator[str]:
    """A folder with nothing but a link to the file: transformers would take other models' tokenizers that lie beside it."""
    with tempfile.TemporaryDirectory(prefix="snugfit-gguf-") as folder:
        (Path(folder) / path.name).symlink_to(path.resolve())
        yield folder


@contextmanager
def _read_once(path: Path, reader: Any) -> Iterator[None]:
    """Let transformers use the open reader, and look up tensor names once: it does both again for each thing it asks."""
    from transformers.utils import logging

    gguf: Any = importlib.import_module("gguf")
    original, lookup = gguf.GGUFReader, gguf.get_tensor_name_map
    again = {str(path): reader}
    gguf.GGUFReader = lambda file, *args: again.get(str(file)) or original(file, *args)
    gguf.get_tensor_name_map = functools.cache(lookup)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = original, lookup
        if shown:
            logging.enable_progress_bar()


def _brief(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:100]}" if text else type(error).__name__
