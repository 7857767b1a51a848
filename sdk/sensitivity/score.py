"""One-pass sensitivity: what each (layer, scheme) costs in loss, from gradients of the float model alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sdk.heap import give_back
from sdk.models import Layer, Model
from sdk.models.samples import Samples, parts_of
from sdk.rounding import Statistics, descend, small, unrefined
from sdk.schemes import Scheme
from sdk.sensitivity.activations import activation_error, static_error
from sdk.sensitivity.errors import HELD, WeightErrors, grid_key, rounded
from sdk.sensitivity.sampling import scored
from sdk.sensitivity.statistics import take_statistics
from sdk.sensitivity.stream import Stream, passed_on, room
from sdk.sensitivity.taps import Taps, run_tapped

MEMORY = 2_000_000_000
"""Bytes of gradients and weight errors held at once of a big model, which is scored a few layers at a time (see `room`)."""

GRADIENT = 4
"""Bytes of a weight's gradient."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Predicted loss per layer and scheme, in units of the stated loss, and where it comes from."""

    loss: str
    origin: str
    values: Mapping[str, Mapping[str, float]]


def score(
    model: Model,
    schemes: Mapping[str, Sequence[Scheme]],
    samples: Samples,
    loss: str,
    *,
    draws: int = 2,
    ranges: Mapping[str, Any] | None = None,
    statistics: Statistics | None = None,
) -> Sensitivity:
    """Estimate ½·E[(gᵀΔ)²] for every layer and scheme: g the gradient of a random output direction, Δ the change.

    The weight's error and those of the quantized input and output of a layer are added before squaring. Error feedback fits its
    rounding to the samples, so each half of them is scored on weights that were rounded by the other half. `ranges` are the
    static activation ranges by tensor name, `statistics` what rounding uses (see `take_statistics`; taken if absent).
    """
    scoring = Scoring(model, schemes, samples, loss, draws, ranges or {}, statistics or take_statistics(model, samples, loss))
    values: dict[str, dict[str, float]] = {name: {} for name in schemes}
    for chunk in scoring.chunks:
        for name, each in scoring.score(chunk).items():
            values[name] |= each
    ordered = {
        layer.name: {s.name: values[layer.name][s.name] for s in schemes[layer.name]}
        for layer in model.inventory.layers if layer.name in schemes
    }
    return Sensitivity(loss, samples.origin, ordered)


class Scoring:
    """Scores (see `score`) chunk by chunk, whose gradients and weight errors take a bounded number of bytes.

    `chunks` are layers with their schemes, in the order in which they are scored best: the last ones first, as the model
    is differentiated in one segment for each (see `Stream`).
    """

    def __init__(
        self, model: Model, schemes: Mapping[str, Sequence[Scheme]], samples: Samples, loss: str, draws: int,
        ranges: Mapping[str, Any], statistics: Statistics, holds: Callable[[Layer, Scheme], bool] = lambda layer, scheme: False,
    ) -> None:
        """`holds` says that a scheme stores a layer's weights as they are, which then are not rounded."""
        self._model, self._samples, self._draws = model, samples, draws
        self._ranges, self._statistics, self._holds = ranges, statistics, holds
        self._refine = descend if small(model) else unrefined  # most of what settling gains
        runs = chunks_of(model, schemes)
        named = [[layer for layer in model.inventory.layers if layer.name in run[0]] for run in runs]
        self._stream = Stream(model, samples.inputs, named, loss, draws, seed=2)
        self._places = {layer.name: place for layers, place in zip(named, self._stream.places, strict=True) for layer in layers}
        self._read: dict[str, Any] = {}
        self._read_as_floats = _read_as_floats(model)
        self.chunks = [chunk for run in reversed(runs) for chunk in run]

    def score(
        self, schemes: Mapping[str, Sequence[Scheme]], tick: Callable[[], None] = lambda: None
    ) -> dict[str, dict[str, float]]:
        """Return the losses of one of the chunks, or of a part of it, by layer and scheme; `tick` after each draw of a sample."""
        import torch

        layers = [layer for layer in self._model.inventory.layers if layer.name in schemes]
        changed = [layer for layer in layers if not all(self._holds(layer, scheme) for scheme in schemes[layer.name])]
        params = self._stream.weights(changed)
        errors = {
            layer.name: WeightErrors(
                layer, schemes[layer.name], params, self._statistics, self._holds, self._refine, self._looked_up(layer)
            ) for layer in changed
        }  # fmt: skip
        owners = {layer.weights[0]: layer.name for layer in layers}
        dots: dict[tuple[str, str], float] = {}
        taps = _taps({layer.name: layer for layer in layers}, owners, self._read_as_floats, schemes, self._ranges, dots)
        sums: dict[str, Any] = {name: torch.zeros(len(schemes[name]), dtype=torch.float64) for name in owners.values()}
        (place,) = {self._places[name] for name in sums}
        for half, numbers in enumerate(parts_of(range(len(self._samples)))):
            for each in errors.values():
                each.turn_away()
            give_back()
            for each in errors.values():
                each.turn_to(half)
            give_back()
            for _ in self._stream.backward(place, numbers, taps, dots.clear):
                for name in sums:
                    inputs_too = torch.tensor([dots.get((name, s.activations), 0.0) for s in schemes[name]], dtype=torch.float64)
                    sums[name] += errors[name].squares(inputs_too) if name in errors else inputs_too.square()
                for param in params.values():
                    param.grad = None
                tick()
        errors.clear()
        give_back()
        count = self._draws * len(self._samples)
        return {
            name: {s.name: float(v) for s, v in zip(schemes[name], sums[name] / (2 * max(1, count)), strict=True)}
            for name in sums
        }


    def _looked_up(self, layer: Layer) -> Any:
        """The rows of a table that the samples read (bool, one per row); None of other layers, and where all are scored."""
        import torch

        if layer.kind != "embedding" or scored(layer) == layer.parameters:
            return None
        name = layer.name
        if name not in self._read:
            read = self._read[name] = torch.zeros(layer.shape[0], dtype=torch.bool)

            def tap(name: str, rows: Any) -> None:
                read[rows.flatten()] = True

            def run(sample: int, module: Any, values: tuple[Any, ...]) -> Any:
                return run_tapped(module, Taps(dict.fromkeys(layer.weights, name), tap), values)

            self._stream.forward(self._places[name], run)
        return self._read[name]


def _read_as_floats(model: Model) -> frozenset[str]:
    """Layers whose output something else than a layer reads: static ones quantize it, and no reader's score counts that."""
    ends, layers = {layer.output: layer.name for layer in model.inventory.layers}, {e.fused[0] for e in model.inventory.layers}
    read = [node for node in model.program.graph.nodes if node.name in ends and any(u.name not in layers for u in node.users)]
    return frozenset(ends[node.name] for node in read)


def _taps(
    layers: Mapping[str, Layer], owners: Mapping[str, str], floats: Collection[str], schemes: Mapping[str, Sequence[Scheme]],
    ranges: Mapping[str, Any], dots: dict[tuple[str, str], float],
) -> Taps:
    """Taps that add up in `dots`, by layer and kind of activations, how far their errors go along the gradient.

    Those are of the input, and of the output of static layers in `floats`: what other layers read is in 8 bits as their input.
    """

    def add(key: tuple[str, str], amount: float) -> None:
        dots[key] = dots.get(key, 0.0) + amount

    def listen(value: Any, key: tuple[str, str], error: Callable[[Any], Any]) -> None:
        if not value.requires_grad:
            value.requires_grad_(True)
        seen = value.detach()  # the error is made anew on each way back: many of them would be held for one way
        value.register_hook(lambda grad: add(key, float(error(seen).mul_(grad).sum())))

    def tap(name: str, value: Any) -> None:
        if value.is_floating_point():
            for mode in sorted({s.activations for s in schemes[name]} - {"float"}):
                listen(value, (name, mode), partial(activation_error, mode=mode, layer=layers[name], ranges=ranges))

    def end(name: str, value: Any) -> None:
        listen(value, (name, "static"), lambda seen: static_error(seen, layers[name].output, ranges))

    static = {name for name in layers if any(s.activations == "static" for s in schemes[name]) and layers[name].output in ranges}
    # before the activation function, which may lie in another segment: where that clips, the gradient is zero
    return Taps(owners, tap, {layers[name].fused[0]: name for name in static & set(floats)}, end)


def chunks_of(model: Model, schemes: Mapping[str, Sequence[Scheme]]) -> list[list[dict[str, list[Scheme]]]]:
    """Part the schemes to score into runs of layers whose gradients, errors and activations take at most `room` bytes together.

    A run is a list of chunks to be scored one after the other: one, or for a layer that takes more by itself several with
    some of its schemes each. Schemes of one grid stay together, as they share its rounding.
    """
    runs: list[list[dict[str, list[Scheme]]]] = []
    held = most = room(model, MEMORY)
    passing = passed_on(model)
    for layer in model.inventory.layers:
        parts = _parts(layer, schemes.get(layer.name, ()), most)
        size = sum(_size(layer, part) for part in parts) + 2 * (passing[layer.input] + passing[layer.output])  # and gradients
        if len(parts) == 1 and held + size <= most:
            runs[-1][0][layer.name] = parts[0]
            held += size
        elif parts:
            runs.append([{layer.name: part} for part in parts])
            held = size
    return runs


def _parts(layer: Layer, schemes: Sequence[Scheme], most: int) -> list[list[Scheme]]:
    """The layer's schemes in as few lists as there must be for each to be scored in `most` bytes."""
    parts: list[list[Scheme]] = []
    for alike in _by_grid(schemes).values():
        if parts and _size(layer, [*parts[-1], *alike]) <= most:
            parts[-1].extend(alike)
        else:
            parts.append(list(alike))
    return parts


def _size(layer: Layer, schemes: Sequence[Scheme]) -> int:
    """Bytes of the layer's gradient and of its errors in `schemes`."""
    return GRADIENT * layer.parameters + HELD * len(rounded(schemes)) * scored(layer)


def _by_grid(schemes: Sequence[Scheme]) -> dict[Any, list[Scheme]]:
    """The schemes by what decides the stored weight; None: those that leave it as it is."""
    changing = {grid_key(scheme) for scheme in rounded(schemes)}
    made: dict[Any, list[Scheme]] = {}
    for scheme in schemes:
        made.setdefault(grid_key(scheme) if grid_key(scheme) in changing else None, []).append(scheme)
    return made

