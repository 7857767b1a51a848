"""Lets a finished language-model bundle talk on this machine, and measures how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.bundles import TOKENIZER, Bundle, LanguageEntry
from sdk.errors import BadInput, Missing
from sdk.lowering import TokenExecutable


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer and what it took on this machine; `origin` is that of the bundle's executable.

    `prefill_seconds` for `prompt_tokens`, `decode_seconds` for the tokens after the first; `resident_bytes` of the whole
    process at the end, of which `model_bytes` came with the bundle. `stopped`: `end`, `max_tokens` or `context`.
    """

    text: str
    prompt_tokens: int
    tokens: tuple[int, ...]
    stopped: str
    prefill_seconds: float
    decode_seconds: float
    resident_bytes: int
    model_bytes: int
    origin: str = "host"

    @property
    def prefill_speed(self) -> float:
        """Tokens of the prompt that were read per second."""
        return self.prompt_tokens / max(self.prefill_seconds, 1e-9)

    @property
    def decode_speed(self) -> float | None:
        """Tokens that were written per second, the first one left out; None when there was no second one."""
        return (len(self.tokens) - 1) / max(self.decode_seconds, 1e-9) if len(self.tokens) > 1 else None


def generate(
    bundle: Bundle, prompt: str, max_tokens: int, *, plain: bool = False, show: Callable[[str], None] = lambda text: None
) -> Generated:
    """Answer `prompt` with the most likely token each time; `show` is told the text piece by piece.

    The bundle's chat template is put around the prompt unless `plain`. BadInput when the bundle holds no language model
    or the prompt is longer than its context, Missing without transformers.
    """
    language = bundle.manifest.language
    if language is None:
        raise BadInput(f"{bundle.path}: {bundle.manifest.model.name} is not a language model: it has nothing to say")
    tokenizer = load_tokenizer(bundle)
    ids = encode(tokenizer, prompt, plain)
    if not ids:
        raise BadInput("the prompt is empty: write something to answer")
    if len(ids) >= language.context:
        raise BadInput(
            f"the prompt has {len(ids):,} tokens, and the bundle holds {language.context:,} with the answer: "
            "shorten it or package with a longer --context"
        )
    before = _resident()
    executable: Any = bundle.executable()
    return _talk(executable, language, tokenizer, ids, max_tokens, show, before)


def _talk(
    executable: TokenExecutable, language: LanguageEntry, tokenizer: Any, ids: list[int], max_tokens: int,
    show: Callable[[str], None], before: int,
) -> Generated:
    began = time.perf_counter()
    first = prefill(executable, ids, language.window)
    read = time.perf_counter()
    tokens: list[int] = []
    shown, stopped = "", "context"
    for token in decode(executable, first, len(ids), language.context):
        if token in language.ends:
            stopped = "end"
            break
        tokens.append(token)
        text = tokenizer.decode(tokens)
        if not text.endswith("\ufffd"):
            show(text[len(shown) :])
            shown = text
        if len(tokens) == max_tokens:
            stopped = "max_tokens"
            break
    wrote = time.perf_counter()
    resident = _resident()
    return Generated(
        tokenizer.decode(tokens), len(ids), tuple(tokens), stopped, read - began, wrote - read, resident, resident - before,
        executable.origin,
    )


def prefill(executable: TokenExecutable, ids: Sequence[int], window: int) -> int:
    """Read a prompt from position 0 in pieces of `window` tokens; return the id of the most likely next one."""
    for start in range(0, len(ids), window):
        logits = executable.step(ids[start : start + window], start)
    return int(logits.argmax())


def decode(executable: TokenExecutable, token: int, position: int, context: int) -> Iterator[int]:
    """Yield `token` and, one by one, the most likely tokens behind it until the context is full."""
    yield token
    while position < context:
        token = int(executable.step([token], position).argmax())
        position += 1
        yield token


def load_tokenizer(bundle: Bundle) -> Any:
    """Return the bundle's tokenizer as transformers has it; Missing without transformers."""
    try:
        import transformers
    except ImportError as error:
        raise Missing("generating needs transformers for the tokenizer: pip install 'snugfit[huggingface]'") from error
    return transformers.AutoTokenizer.from_pretrained(str(bundle.path / TOKENIZER))


def encode(tokenizer: Any, prompt: str, plain: bool) -> list[int]:
    """Token ids of `prompt`, in the chat template when there is one and `plain` does not forbid it."""
    if plain or not tokenizer.chat_template:
        return list(tokenizer(prompt)["input_ids"])
    talk = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(talk, add_generation_prompt=True, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _resident() -> int:
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return int(psutil.Process().memory_info().rss)
