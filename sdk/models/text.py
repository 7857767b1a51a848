"""Texts as samples of a language model: tokenized one behind the other and cut into windows."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any

from sdk.errors import BadInput
from sdk.models.language import Language

OWN = "calibration.txt"
"""The SDK's own text: prose, dialogue, code and lists, written for this purpose."""


def own_text() -> str:
    """Return the text that stands in for calibration data when there are none."""
    return resources.files("sdk.models").joinpath(OWN).read_text("utf-8")


def windows(language: Language, texts: Iterable[str]) -> list[tuple[Any]]:
    """Return every whole window of `language.window` token ids as (int64 [1, window],).

    Texts follow one another, each behind the token that begins a text. BadInput when they do not fill one window, or
    the tokenizer gives an id beyond the vocabulary.
    """
    import torch

    ids: list[int] = []
    for text in texts:
        found = language.tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += found if language.begin is None else [language.begin, *found]
    if len(ids) < language.window:
        raise BadInput(f"calibration: the texts have {len(ids)} tokens; a language model needs at least {language.window}")
    if max(ids) >= language.vocabulary:
        raise BadInput(
            f"calibration: the tokenizer gives id {max(ids):,}; the model's vocabulary has {language.vocabulary:,} rows"
        )
    whole = len(ids) // language.window * language.window
    rows = torch.tensor(ids[:whole], dtype=torch.int64).reshape(-1, 1, language.window)
    return [(row,) for row in rows]
