"""The content-addressed cache of sensitivity scores: one JSON file per (model, samples, loss)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

VERSION = 1
"""Raised whenever rounding, scoring or ranges change what a score would be."""


class ScoreCache:
    """Scores of one model on one set of samples; a file that cannot be read counts as empty."""

    def __init__(self, model: str, samples: str, loss: str, draws: int) -> None:
        """`model` and `samples` are digests."""
        key = hashlib.sha256(json.dumps([VERSION, model, samples, loss, draws]).encode()).hexdigest()[:32]
        self._path = cache_folder() / "scores" / f"{key}.json"
        try:
            self._values: dict[str, dict[str, float]] = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self._values = {}

    def has(self, layer: str, scheme: str) -> bool:
        """Whether the pair was scored before."""
        return scheme in self._values.get(layer, {})

    def get(self, layer: str, scheme: str) -> float:
        """The pair's loss; KeyError when it was not scored."""
        return self._values[layer][scheme]

    def add(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Keep scores, rounded to six digits so that a cached run equals a fresh one; written whole or not at all."""
        for layer, found in values.items():
            self._values.setdefault(layer, {}).update({name: float(f"{loss:.6g}") for name, loss in found.items()})
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._values, sort_keys=True))
            temporary.replace(self._path)
        except OSError:
            temporary.unlink(missing_ok=True)  # a cache that cannot be written only costs time


def cache_folder() -> Path:
    """Where caches live: SDK_CACHE, else the user's cache folder."""
    given = os.environ.get("SDK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "snugfit"
