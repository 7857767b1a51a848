"""Predicts the bytes of a .pte for an accelerator: its float program lowered once, and what each scheme stores instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sdk.lowering.types import Prices, Quantized
from sdk.models import Layer, Model
from sdk.schemes import Scheme
from targets.executorch.backends.backend import Backend
from targets.executorch.lowering import lower_through
from targets.executorch.parts import PLACE, find_places
from targets.executorch.pricing import blob_size
from targets.executorch.program import open_bytes
from targets.executorch.sites import fingerprint, may_fold

HALF = 2
"""Bytes of a float16, in which scales and floats are stored."""


@dataclass(frozen=True, slots=True)
class FloatProgram:
    """The float program of a model: its bytes, those of each layer's weight, and which layers are special.

    Those `outside` of the delegates stay in float32; `folded` ones are not in the file: their lookups, whose indices are
    constants, were done by the compiler.
    """

    size: int
    weights: Mapping[str, int]
    outside: frozenset[str]
    folded: frozenset[str]


def float_program(model: Model, backend: Backend, kind: str, min_os: float | None) -> FloatProgram:
    """Lower the float program and find every layer in it.

    The file holds equal weights once: the first layer pays.
    """
    data = lower_through(Quantized(model, {}, {}, {}), backend, kind, min_os)
    places = find_places(open_bytes(data, "the float program"), backend)
    module = model.module()
    weights: dict[str, int] = {}
    outside, folded = set[str](), set[str]()
    seen: set[tuple[str, ...]] = set()
    for layer in model.inventory.layers:
        tensors = [module.get_parameter(name).detach() for name in layer.weights]
        halves = tuple(fingerprint(tensor.half().float().numpy()) for tensor in tensors)
        inside = all(places.get(each, "").startswith(PLACE) for each in halves)
        if not inside and may_fold(layer) and not any(fingerprint(tensor.numpy()) in places for tensor in tensors):
            folded.add(layer.name)
        elif not inside:
            outside.add(layer.name)
        weights[layer.name] = 0 if halves in seen or layer.name in folded else _float_bytes(layer, HALF if inside else 4)
        seen.add(halves)
    return FloatProgram(len(data), weights, frozenset(outside), frozenset(folded))


def _float_bytes(layer: Layer, width: int) -> int:
    return blob_size(width * layer.parameters)


def prices(
    model: Model, choices: Mapping[str, Sequence[Scheme]], program: FloatProgram, overhead: Callable[[Scheme], int]
) -> Prices:
    """Return base and per-layer prices; a float layer costs its weight, everything else of it is in the base.

    A layer outside of the delegates has a price in float32 alone, one inside has none in float32, and a folded one is free in
    float16. `overhead` returns the bytes that an integer scheme adds to the graph.
    """
    layers = {}
    for layer in model.inventory.layers:
        if layer.name in choices:
            layers[layer.name] = {
                scheme.name: 0 if layer.name in program.folded else _price(layer, scheme, overhead)
                for scheme in choices[layer.name]
                if _possible(layer, scheme, program)
            }
    return Prices(program.size - sum(program.weights[name] for name in layers), layers)


def _possible(layer: Layer, scheme: Scheme, program: FloatProgram) -> bool:
    if layer.name in program.folded:
        return scheme.name == "fp16"
    return (scheme.name == "fp32") == (layer.name in program.outside)


def _price(layer: Layer, scheme: Scheme, overhead: Callable[[Scheme], int]) -> int:
    if scheme.format == "float":
        return _float_bytes(layer, scheme.bits // 8)
    channels = layer.shape[layer.channel_axis]
    inputs = layer.parameters // channels
    groups = inputs // scheme.group if scheme.granularity == "group" else 1
    sums = blob_size(4 * channels * groups) if scheme.activations == "dynamic" else 0
    return blob_size(channels * inputs * scheme.bits // 8) + blob_size(HALF * channels * groups) + sums + overhead(scheme)
