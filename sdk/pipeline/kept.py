"""What the pipeline keeps in the cache about a model, and what each thing is filed under."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sdk.cache import Cache, code_digest, key_of, versions
from sdk.lowering import Prices, Range, Target, variant_of
from sdk.models import Layer, Model
from sdk.models.samples import Samples
from sdk.pipeline.shelf import Joined, Shelf, Shelved
from sdk.rounding import Moments, Statistics
from sdk.schemes import Scheme
from sdk.sensitivity import Response

Scores = dict[str, dict[str, float]]
"""Loss by layer and scheme."""

SCORING = ("sdk.models", "sdk.rounding", "sdk.schemes", "sdk.sensitivity")
"""Packages that decide scores, statistics and ranges."""

QUANTIZING = (*SCORING, "sdk.lowering", "sdk.quantize", "sdk.pipeline.together")
"""Packages and modules that, with a target's own, decide an artifact."""

_DATA, _TENSORS = "data.json", "data.safetensors"


class Kept:
    """The cached knowledge of one model on one set of samples in one loss."""

    def __init__(self, model: Model, samples: Samples, loss: str, draws: int) -> None:
        self.cache = Cache()
        self._subject = [model.digest, samples.digest, loss, draws]
        self._scores: Scores = {}

    def missing(self, wanted: Mapping[str, Sequence[Scheme]]) -> dict[str, list[Scheme]]:
        """Return what of `wanted` nobody scored before."""
        if _missing(wanted, self._scores):
            _merge(self._scores, self.cache.read("scores", self._key("scores"), _load) or {})
        return _missing(wanted, self._scores)

    def scores(self, wanted: Mapping[str, Sequence[Scheme]]) -> Scores:
        """Return the losses of `wanted`, none of which may be missing."""
        return {name: {s.name: self._scores[name][s.name] for s in found} for name, found in wanted.items()}

    def add_scores(self, wanted: Mapping[str, Sequence[Scheme]], compute: Callable[[Mapping[str, list[Scheme]]], Scores]) -> None:
        """Keep the losses of `wanted`; `compute` is asked for those alone that nobody scored before.

        They are rounded to six digits.
        """
        if self.missing(wanted):
            self._scores = self.cache.change(
                "scores", self._key("scores"), load=_load, save=_save, grow=lambda old: self._grown(old, wanted, compute)
            )

    def _grown(
        self, old: Scores | None, wanted: Mapping[str, Sequence[Scheme]], compute: Callable[[Mapping[str, list[Scheme]]], Scores]
    ) -> Scores:
        known = _merge(dict(self._scores), old or {})
        missing = _missing(wanted, known)
        if not missing:
            return known
        found = compute({name: missing.get(name, []) for name in wanted})
        return _merge(known, {n: {s: float(f"{loss:.6g}") for s, loss in each.items()} for n, each in found.items()})

    def statistics(
        self, what: str, portions: Sequence[Sequence[Layer]], make: Callable[[Sequence[Layer]], Statistics]
    ) -> Statistics:
        """Return some of what rounding uses of the samples; that of one portion of the layers is made and kept at a time."""
        found = []
        for layers in portions:
            key = self._key("statistics", what, [layer.name for layer in layers])
            made = self.cache.fetch(
                "statistics", key, load=_load_statistics, save=_save_statistics, make=partial(make, layers)
            )
            if len(portions) > 1:  # the next one needs the memory of this one
                made = self.cache.read("statistics", key, _load_statistics) or made
            found.append(made)
        parts = max(len(each.parts) for each in found)
        return Statistics(
            Joined([each.importance for each in found]),
            tuple(Joined([each.parts[i] for each in found if i < len(each.parts)]) for i in range(parts)),
            Joined([each.energies for each in found]),
        )

    def ranges(self, make: Callable[[], dict[str, Range]]) -> dict[str, Range]:
        """Return the static range of every tensor that has one."""
        return self.cache.fetch(
            "ranges", self._key("ranges"), make=make,
            load=lambda folder: {name: Range(*pair) for name, pair in _load(folder).items()},
            save=lambda value, folder: _save({name: [r.scale, r.zero_point] for name, r in value.items()}, folder),
        )

    def response(self, make: Callable[[], Response]) -> Response:
        """Return what the loss is of the sum of the layers' losses."""
        return self.cache.fetch(
            "response", self._key("response"), make=make,
            load=lambda folder: Response(**{name: tuple(values) for name, values in _load(folder).items()}),
            save=lambda value, folder: _save(asdict(value), folder),
        )

    def _key(self, what: str, *more: Any) -> str:
        return key_of(what, *self._subject, *more, versions("numpy", "torch", "torchao"), code_digest(*SCORING))


def prices(target: Target, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
    """Return the target's prices of `choices`; to find them it may have to convert the float model."""
    min_os = floor_for(target, min_os)
    names = {layer: [scheme.name for scheme in schemes] for layer, schemes in choices.items()}
    decides = [target.name, *variant_of(target), min_os, names, toolchain_versions(target)]
    key = key_of("prices", model.artifact_digest, *decides, code_digest(*QUANTIZING, module_of(target)))
    return Cache().fetch(
        "prices", key, make=lambda: target.price(model, choices, min_os),
        load=lambda folder: Prices(**_load(folder)), save=lambda value, folder: _save(asdict(value), folder),
    )


def floor_for(target: Target, min_os: float | None) -> float | None:
    """Return `min_os` where the target's table tells OS versions apart, else None: then artifacts do not depend on it."""
    return min_os if any(row.min_os is not None for row in target.capabilities()) else None


def toolchain_versions(target: Target) -> dict[str, str]:
    """Versions of the SDK, torch and the target's toolchain."""
    found = {name: value for name, value in target.toolchain().packages.items() if value}
    return dict(sorted((found | versions("snugfit", "torch", "torchao")).items()))


def module_of(target: Target) -> str:
    """Import path of the package (or plain module) that holds the target's code."""
    module = type(target).__module__
    return module.rpartition(".")[0] or module


def _missing(wanted: Mapping[str, Sequence[Scheme]], known: Scores) -> dict[str, list[Scheme]]:
    left = {name: [s for s in found if s.name not in known.get(name, {})] for name, found in wanted.items()}
    return {name: found for name, found in left.items() if found}


def _merge(known: Scores, more: Scores) -> Scores:
    for layer, found in more.items():
        known[layer] = {**known.get(layer, {}), **found}
    return known


def _load(folder: Path) -> Any:
    return json.loads((folder / _DATA).read_text("utf-8"))


def _save(value: Any, folder: Path) -> None:
    (folder / _DATA).write_text(json.dumps(value, sort_keys=True), encoding="utf-8")


def _load_statistics(folder: Path) -> Statistics:
    shelf, known = Shelf(folder / _TENSORS), _load(folder)

    def moments(key: str) -> Moments:
        return Moments(_square(shelf[key]), *known["moments"][key])

    def shelved(kind: str) -> Shelved:
        return Shelved({n.removeprefix(kind): n for n in shelf.names if n.startswith(kind)}, shelf.__getitem__)

    return Statistics(shelved(_IMPORTANCE), tuple(Shelved(part, moments) for part in known["parts"]), shelved(_ENERGY))


def _save_statistics(value: Statistics, folder: Path) -> None:
    """Moments that several layers share are kept once, and of each matrix one triangle; energies so that few read those."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {f"{_IMPORTANCE}{name}": t for name, t in value.importance.items()}
    tensors |= {f"{_ENERGY}{name}": value.energy(name).contiguous() for name in dict.fromkeys(n for p in value.parts for n in p)}
    keys: dict[int, str] = {}
    numbers: dict[str, Any] = {}
    parts = []
    for i, part in enumerate(value.parts):
        for name, m in part.items():
            if id(m) not in keys:
                keys[id(m)] = key = f"part {i} {name}"
                tensors[key], numbers[key] = _triangle(m.value), [m.samples, m.rows, m.squares]
        parts.append({name: keys[id(m)] for name, m in part.items()})
    try:
        save_file(tensors, folder / _TENSORS)
    except SafetensorError as error:  # its own name for a disk that is full
        raise OSError(str(error)) from error
    _save({"moments": numbers, "parts": parts}, folder)


_IMPORTANCE, _ENERGY = "importance ", "energy "
_ROWS = 128


def _triangle(value: Any) -> Any:
    """[groups, k, k], symmetric → [groups, k (k + 1) / 2]: each row up to the diagonal."""
    import torch

    return torch.cat([value[:, row, : row + 1] for row in range(value.shape[1])], 1)


def _square(triangle: Any) -> Any:
    """The symmetric matrices of `_triangle`."""
    import torch

    k = (math.isqrt(8 * triangle.shape[1] + 1) - 1) // 2
    made = torch.empty(triangle.shape[0], k, k)
    made.masked_scatter_(torch.ones(k, k, dtype=torch.bool).tril_().expand_as(made), triangle)
    for start in range(0, k, _ROWS):  # what is right of the diagonal, by what is below it
        stop = min(k, start + _ROWS)
        made[:, start:stop, stop:] = made[:, stop:, start:stop].transpose(1, 2)
        block = made[:, start:stop, start:stop].tril()
        made[:, start:stop, start:stop] = block + block.tril(-1).transpose(1, 2)
    return made
