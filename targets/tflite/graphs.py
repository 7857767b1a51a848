"""The graphs of a finished file, one by one: a `.tflite` has one, a `.litertlm` one for each signature."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from targets.tflite.checks import checked, checked_bytes
from targets.tflite.container import unpack

SUFFIX = ".litertlm"
"""How the names of language models' files end."""


def graphs(path: Path) -> list[Any]:
    """Return a `ModelT` for each signature's graph, over the same constants; CheckFailed says what is wrong with the file."""
    if path.suffix != SUFFIX:
        return [checked(path)]
    whole = checked_bytes(unpack(path), str(path))
    return [_alone(whole, signature) for signature in whole.signatureDefs]


def _alone(whole: Any, signature: Any) -> Any:
    """One graph of a file as a file of its own."""
    part, told = copy.copy(whole), copy.copy(signature)
    part.subgraphs, part.signatureDefs, told.subgraphIndex = [whole.subgraphs[signature.subgraphIndex]], [told], 0
    return part


def each_graph(whole: Any) -> list[Any]:
    """Each graph of a file as a file of its own: that of the signature first, then those of its loops."""
    parts = [copy.copy(whole) for _ in whole.subgraphs]
    for part, graph in zip(parts, whole.subgraphs, strict=True):
        part.subgraphs = [graph]
    return parts
