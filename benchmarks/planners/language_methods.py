"""The methods for a language model: from a subject and a limit on bytes to a scheme per layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.planners.language_subject import LanguageSubject, Schemes

WINDOWS = 16
"""Calibration windows of ModelOpt's score, one label drawn for every token."""


def uniform(subject: LanguageSubject, size: int) -> Schemes | None:
    """One scheme for all linear layers, the widest that fits for the embedding and the head; of all schemes the one that
    loses least on calibration windows."""
    found = [found[0] for scheme in schemes_of_linears(subject) if (found := subject.solved(size, _alike(subject, scheme)))]
    return _best(subject, found)


def thresholds(subject: LanguageSubject, size: int) -> Schemes | None:
    """Two schemes: layers whose gradient sensitivity is above a threshold get the wide one, the threshold is the least that
    fits (mlx-lm's dynamic quantization); of all pairs the one that loses least on calibration windows."""
    found = []
    for low, high in _pairs(subject):
        lows = subject.solved(size, _alike(subject, low))
        if lows is None:
            continue
        scores = {name: _gradient(subject, name, low, high) for name in _linears(subject)}
        order = sorted(scores, key=lambda name: -scores[name])
        fits, over, best = 0, len(order) + 1, lows[0]
        while over - fits > 1:
            middle = (fits + over) // 2
            wide = set(order[:middle])
            made = subject.solved(size, _alike(subject, low, wide, high))
            fits, over, best = (middle, over, made[0]) if made is not None else (fits, middle, best)
        found.append(best)
    return _best(subject, found)


def fisher(subject: LanguageSubject, size: int) -> Schemes | None:
    """Diagonal Fisher information times squared weight error, summed by layer and packed exactly (HAWQ-V2's score)."""
    found = subject.solved(size, lambda layer, scheme: _memo(subject, ("fisher", layer, _weight(scheme)), lambda: sum(
        0.5 * float((f * e.square()).sum()) for f, e in _errors(subject, layer, scheme)
    )))  # fmt: skip
    return None if found is None else found[0]


def modelopt(subject: LanguageSubject, size: int) -> Schemes | None:
    """The score of NVIDIA ModelOpt's `auto_quantize`, squared output error times squared gradient, packed exactly; it is
    made anew, for ExecuTorch's schemes, and for the embedding too, which ModelOpt does not score."""
    if ("modelopt", subject.planned.problem.choices[0].layer) not in subject.tables:
        _score_outputs(subject)
    found = subject.solved(size, lambda layer, scheme: subject.tables["modelopt", layer][_weight(scheme)])
    return None if found is None else found[0]


METHODS: dict[str, Callable[[LanguageSubject, int], Schemes | None]] = {
    "uniform": uniform, "gradient threshold": thresholds, "diagonal Fisher, exact": fisher, "NVIDIA ModelOpt": modelopt,
}  # fmt: skip


def schemes_of_linears(subject: LanguageSubject) -> list[str]:
    """Schemes that every linear layer but the head may take, floats left out."""
    offered = [{o.scheme for o in each.options} for each in subject.planned.problem.choices if each.layer in _linears(subject)]
    return sorted(name for name in set.intersection(*offered) if _bits(name) < 16)


def _pairs(subject: LanguageSubject) -> Iterator[tuple[str, str]]:
    names = schemes_of_linears(subject)
    return ((low, high) for low in names for high in names if _bits(low) < _bits(high))


def _alike(
    subject: LanguageSubject, low: str, wide: set[str] | None = None, high: str = ""
) -> Callable[[str, str], float | None]:
    """A score with which `solved` gives all linears `low`, those in `wide` `high`, and the tied layers as many bytes as fit."""
    sizes = {(each.layer, o.scheme): o.bytes for each in subject.planned.problem.choices for o in each.options}

    def score(layer: str, scheme: str) -> float | None:
        if layer in _linears(subject):
            return 0.0 if scheme == (high if layer in (wide or ()) else low) else None
        return 1e6 / sizes[layer, scheme]

    return score


def _linears(subject: LanguageSubject) -> list[str]:
    return [each.layer for each in subject.planned.problem.choices if each.layer not in subject.tied]


def _best(subject: LanguageSubject, found: list[Schemes]) -> Schemes | None:
    """The one that loses least on calibration windows, as it rounds."""
    if len(found) < 2:
        return found[0] if found else None
    return min(found, key=lambda made: _memo(subject, tuple(made.values()), lambda: subject.loss(made, False, seen=True)))


def _errors(subject: LanguageSubject, layer: str, scheme: str) -> Iterator[tuple[Any, Any]]:
    """Importance and error of each weight of a layer, rounded to the nearest."""
    planned = subject.bench.model.inventory[layer]
    for name, grid in zip(planned.weights, subject.grid(layer, scheme, False), strict=True):
        yield subject.bench.statistics.importance[name].float(), grid.dequantize() - subject._module.get_parameter(name)


def _gradient(subject: LanguageSubject, layer: str, low: str, high: str) -> float:
    """Root of the Fisher-weighted change from the wide to the narrow weights, per weight: a gradient's alignment with it."""

    def make() -> float:
        pairs = zip(_errors(subject, layer, low), _errors(subject, layer, high), strict=True)
        amounts = [(float((f * (a - b).square()).sum()), a.numel()) for (f, a), (_, b) in pairs]
        return math.sqrt(sum(each for each, _ in amounts)) / sum(count for _, count in amounts)

    return float(_memo(subject, ("gradient", layer, low, high), make))


def _score_outputs(subject: LanguageSubject) -> None:
    """Sum over tokens and channels of (output error · gradient of the loss)², for every layer and weight."""
    import torch

    owners = {subject.bench.model.inventory[each.layer].weights[0]: each.layer for each in subject.planned.problem.choices}
    taken: dict[str, list[tuple[Any, Any]]] = {layer: [] for layer in owners.values()}
    generator = torch.Generator().manual_seed(0)
    for inputs in subject.bench.taken.some(WINDOWS):
        with torch.enable_grad():
            logits = _run(subject._module, owners, taken, inputs)[0]
            rows = logits.reshape(-1, logits.shape[-1])
            drawn = torch.multinomial(rows.detach().softmax(1), 1, generator=generator).squeeze(1)
            torch.nn.functional.cross_entropy(rows, drawn, reduction="sum").backward()
    for each in subject.planned.problem.choices:
        scores = subject.tables["modelopt", each.layer] = {}
        name = subject.bench.model.inventory[each.layer].weights[0]
        for scheme in {_weight(o.scheme): o.scheme for o in each.options}.values():
            error = subject.grid(each.layer, scheme, False)[0].dequantize() - subject._module.get_parameter(name)
            scores[_weight(scheme)] = sum(float((_through(x, error) * g.float()).square().sum()) for x, g in taken[each.layer])
        taken[each.layer].clear()


def _through(x: Any, error: Any) -> Any:
    """What a weight's error makes of a layer's input: rows of floats, or indices of an embedding."""
    return x.float() @ error.t() if x.is_floating_point() else error[x]


def _run(module: Any, owners: dict[str, str], taken: dict[str, list[tuple[Any, Any]]], inputs: tuple[Any, ...]) -> Any:
    """Interpret the model; the input of each layer in `owners` and, on the way back, its output's gradient go to `taken`."""
    import torch

    class Tapped(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            made = super().run_node(node)
            weight = next((a.target for a in node.args if getattr(a, "op", None) == "get_attr" and a.target in owners), None)
            if node.op != "call_function" or weight is None:
                return made
            made = made if made.requires_grad else made.requires_grad_(True)
            x = self.fetch_args_kwargs_from_env(node)[0][1 if node.target is torch.ops.aten.embedding.default else 0]
            kept = x.detach().reshape(-1, x.shape[-1]).bfloat16() if x.is_floating_point() else x.reshape(-1)
            made.register_hook(lambda g: taken[owners[weight]].append((kept, g.reshape(-1, g.shape[-1]).bfloat16())))
            return made

    return Tapped(module).run(*inputs)


def _bits(scheme: str) -> int:
    from sdk.schemes import scheme_named

    return int(scheme_named(scheme).bits)


def _weight(scheme: str) -> Any:
    """What of a scheme decides the stored weight."""
    from sdk.schemes import scheme_named
    from sdk.sensitivity.errors import grid_key

    return grid_key(scheme_named(scheme))


def _memo(subject: LanguageSubject, key: Any, make: Callable[[], Any]) -> Any:
    if key not in subject.tables:
        subject.tables[key] = make()
    return subject.tables[key]
