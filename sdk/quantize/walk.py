"""Rounds layer after layer: each is to reproduce the float output from what the rounded layers before it hand on.

Layers that are rounded for themselves, on float inputs, lose more together than one by one: every low-bit weight is a
little weaker than the float one, and through thirty layers of it no signal is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdk.lowering.types import Range
from sdk.models import Layer, Model
from sdk.models.layers import end_of, operators_of
from sdk.models.samples import Samples, parts_of
from sdk.rounding import Drift, Grid, Statistics, aim, lies_on, round_layer, settle, small
from sdk.schemes import Scheme
from sdk.sensitivity.activations import activation_error, quantize_static
from sdk.sensitivity.moments import MomentsSum, add_product, input_rows, product_calls, rows_of
from sdk.sensitivity.reach import reaching

SAMPLES = 64
"""Samples that are walked at most."""

ROWS = 8192
"""Input rows of a layer that are taken of all samples together."""

HELD = 2 << 30
"""Bytes of activations held at once: a model with large ones is walked on fewer samples."""


def walkable(model: Model, samples: Samples | None) -> bool:
    """Whether there is data to walk on, and the model is small enough."""
    return samples is not None and samples.origin == "given" and small(model)


def round_in_order(
    model: Model, schemes: Mapping[str, Scheme], ranges: Mapping[str, Range], statistics: Statistics, samples: Samples
) -> dict[str, tuple[Grid, ...]]:
    """Return the grids of every layer of `schemes`, by layer name.

    The float model and the one that is being rounded run side by side, operator by operator. At a layer, its weight is aimed
    at the float output from the inputs of the rounded side (see `sdk.rounding.aim`) and rounded with error feedback on
    them, which Frantar et al. 2022 (GPTQ) call quantizing in order. Layers without moments, whose weight is used more
    than once, or lies on its scheme's grid already, are rounded for themselves.
    """
    import torch

    floats, rounded = model.module(), model.module()
    found = product_calls(floats, [layer for layer in model.inventory.layers if layer.name in schemes])
    used = [layer.weights[0] for layer in found.values()]
    ahead = {layer.name for layer in found.values() if used.count(layer.weights[0]) == 1 and not _kept(layer, floats, schemes)}
    grids: dict[str, tuple[Grid, ...]] = {}
    for each in model.inventory.layers:
        if each.name in schemes and (each.name not in ahead or schemes[each.name].format == "float"):
            grids[each.name] = _rounded(each, rounded, (), schemes, statistics)
    inputs = samples.some(_count(floats))
    outputs = {
        end_of(node).name: ranges[layer.output] for layer in _static(model, schemes) if layer.output in ranges
        for node in operators_of(floats.graph, layer)
    }  # fmt: skip
    reach = reaching(floats, [layer for layer in found.values() if layer.name in ahead], inputs)
    sides = _Side(floats, inputs), _Side(rounded, inputs)
    left = len(set(schemes) - set(grids))
    with torch.no_grad():
        for here, there in zip(floats.graph.nodes, rounded.graph.nodes, strict=True):
            if not left:
                break
            layer = found.get(here)
            mode = schemes[layer.name].activations if layer is not None else "float"
            if layer is not None and layer.name not in grids:
                chosen = [rows.get(layer.name) for rows in reach]
                drifts = _drifts(layer, sides[0].arguments(here), sides[1].arguments(there), chosen, mode, ranges)
                grids[layer.name] = _rounded(layer, rounded, drifts, schemes, statistics)
                left -= 1
            sides[0].step(here)
            sides[1].step(there, lambda value, layer=layer, mode=mode: _seen(value, mode, layer, ranges), outputs.get(there.name))
    return grids


def _kept(layer: Layer, module: Any, schemes: Mapping[str, Scheme]) -> bool:
    """Whether the scheme holds the layer's weight as it is, which then must not be moved."""
    return lies_on(module.get_parameter(layer.weights[0]), schemes[layer.name], layer.channel_axis)


class _Side:
    """One of the two models, stopped at the same operator on all samples."""

    def __init__(self, module: Any, inputs: Sequence[tuple[Any, ...]]) -> None:
        import torch

        self._runs = [torch.fx.Interpreter(module) for _ in inputs]
        for run, given in zip(self._runs, inputs, strict=True):
            run.args_iter = iter(given)

    def arguments(self, node: Any) -> list[tuple[Any, ...]]:
        """The operator's arguments on each sample."""
        return [run.fetch_args_kwargs_from_env(node)[0] for run in self._runs]

    def step(self, node: Any, seen: Any = None, output: Range | None = None) -> None:
        """Run one operator; `seen` says what it sees of its input, `output` is the range that its result is stored in."""
        for run in self._runs:
            if node.op == "call_function" and seen is not None:
                args, kwargs = run.fetch_args_kwargs_from_env(node)
                value = run.call_function(node.target, (seen(args[0]), *args[1:]) if args else args, kwargs)
            else:
                value = run.run_node(node)
            run.env[node] = value if output is None else quantize_static(value, output)
            for last in run.user_to_last_uses.get(node, ()):
                run.env.pop(last, None)


def _drifts(
    layer: Layer, floats: Sequence[tuple[Any, ...]], rounded: Sequence[tuple[Any, ...]], chosen: Sequence[Any], mode: str,
    ranges: Mapping[str, Range],
) -> list[Drift]:
    """How the `chosen` rows of the layer's inputs differ on the rounded side, over each half of the samples that there is."""
    most = rows_of(layer, ROWS, len(floats))
    found = []
    for half in parts_of(list(zip(floats, rounded, chosen, strict=True))):
        total = MomentsSum()
        gap: Any = None
        for want, got, rows_in in half:
            rows = input_rows(layer, (_seen(got[0], mode, layer, ranges), *got[1:]), most, rows_in)
            total.add(rows)
            gap = add_product(gap, input_rows(layer, want, most, rows_in) - rows, rows)
        found.append(Drift(total.moments(), gap / len(half)))
    return found


def _rounded(
    layer: Layer, module: Any, drifts: Sequence[Drift], schemes: Mapping[str, Scheme], statistics: Statistics
) -> tuple[Grid, ...]:
    """Round the layer's weights, and put them into `module`."""
    weights = {name: module.get_parameter(name) for name in layer.weights}
    if drifts:
        first = layer.weights[0]
        weights[first] = aim(weights[first], layer.channel_axis, drifts)
        statistics = replace(statistics, parts=tuple({layer.name: drift.moments} for drift in drifts))
    made = round_layer(layer, weights, [schemes[layer.name]], statistics, settle)[0]
    for name, grid in zip(layer.weights, made, strict=True):
        module.get_parameter(name).data = grid.dequantize()
    return made


def _seen(value: Any, mode: str, layer: Layer | None, ranges: Mapping[str, Range]) -> Any:
    """What the layer's kernel sees of its input."""
    return value if layer is None or mode == "float" else value + activation_error(value, mode, layer, ranges)


def _static(model: Model, schemes: Mapping[str, Scheme]) -> list[Layer]:
    named = [layer for layer in model.inventory.layers if layer.name in schemes]
    return [layer for layer in named if schemes[layer.name].activations == "static"]


def _count(module: Any) -> int:
    """Samples that two models may hold the largest activations of, twice each."""
    values = [node.meta.get("val") for node in module.graph.nodes if node.op == "call_function"]
    largest = max((4 * math.prod(value.shape) for value in values if hasattr(value, "shape")), default=1)
    return max(1, min(SAMPLES, HELD // (4 * largest)))
