"""A language model's two float files, made once, and the `.litertlm` that a plan makes of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdk.lowering import Prices, Progress, Quantized
from sdk.models import Model
from sdk.quantize.tied import tied_layers
from sdk.schemes import Scheme
from sdk.sensitivity.errors import grid_key
from targets.tflite.container import pack
from targets.tflite.convert import FloatModel, convert
from targets.tflite.decoding import DECODE, decode_step, prefill_name, prefill_step
from targets.tflite.lower import write_quantized
from targets.tflite.match import CHANNEL_AXIS, Place
from targets.tflite.merge import merged
from targets.tflite.pricing import objection, place_price, repeated, weight_bytes
from targets.tflite.recipes import mode_of

FEW = 2
"""Layers of as many channels that are each charged their zero points: a tied embedding and head have a great many."""


@dataclass(frozen=True, slots=True)
class Step:
    """One signature of the file: the model with its inputs and outputs, and the float file of that."""

    model: Model
    source: FloatModel


Steps = Mapping[str, Step]
"""Signature → step; the decode, which holds every layer, comes first."""


def convert_steps(model: Model) -> Steps:
    """Convert both steps; a layer whose weight the converter rewrote in one of them can only stay float in both."""
    assert model.language is not None
    name = prefill_name(model.language)
    decode, prefill = (Step(made, convert(made, bare=True)) for made in (decode_step(model), prefill_step(model)))
    read_by = {node.target for node in prefill.model.module().graph.nodes if node.op == "get_attr"}
    hidden = {
        layer.name for layer in model.inventory.layers
        if layer.name not in prefill.source.places and not read_by.isdisjoint(layer.weights)
    }  # fmt: skip
    places = {layer: found for layer, found in decode.source.places.items() if layer not in hidden}
    return {DECODE: Step(decode.model, dataclasses.replace(decode.source, places=places)), name: prefill}


def write_language(quantized: Quantized, steps: Steps, progress: Progress) -> bytes:
    """Return the bytes of the finished `.litertlm`; LoweringError when a layer cannot hold its scheme."""
    parts = {}
    for name, step in steps.items():
        progress(f"rewrite {name} per operator with AI Edge Quantizer")
        schemes = quantized.schemes if name == DECODE else {
            layer: scheme for layer, scheme in quantized.schemes.items() if layer in step.source.places
        }  # fmt: skip
        parts[name] = write_quantized(dataclasses.replace(quantized, model=step.model, schemes=schemes), step.source)
    progress("put both steps, tokenizer and metadata into one file")
    language = quantized.model.language
    assert language is not None
    return pack(merged(parts), language)


def language_prices(model: Model, steps: Steps, choices: Mapping[str, Sequence[Scheme]]) -> Prices:
    """Return the bytes of the finished file without weights, and the price of each layer and scheme that it can hold.

    Weights and scales lie in the file once, for both steps; zero points once for all layers of as many channels, which is charged
    once where those are many. Linears of integer weights and float inputs have no price: the runtime unpacks them into floats,
    of which a decode reads all for each token.
    """
    assert model.language is not None
    decode = steps[DECODE].source
    counts = Counter(p.shape[CHANNEL_AXIS[p.builtin]] for found in decode.places.values() for p in found)
    widths = frozenset(width for width, count in counts.items() if count > FEW)
    base = len(pack(merged({name: step.source.data for name, step in steps.items()}), model.language))
    layers = {}
    for layer in model.inventory.layers:
        extra = sum(layer.name in step.source.places for step in steps.values()) - 1
        found = decode.places.get(layer.name, ())
        layers[layer.name] = {
            scheme.name: sum(place_price(place, scheme, widths) + extra * repeated(place, scheme) for place in found)
            for scheme in choices.get(layer.name, ())
            if objection(scheme, layer.name, decode) is None and not any(_unpacked(place, scheme) for place in found)
        }
    weights = {
        later: {s.name: sum(weight_bytes(place, s) for place in decode.places.get(later, ())) for s in choices[later]}
        for _, later in tied_layers(model) if later in choices
    }
    return Prices(base + 8 * sum(widths), layers, weights)


def stored_once(embedding: Scheme, head: Scheme) -> bool:
    """Whether a tied weight's codes are one buffer of the file in these schemes."""
    return grid_key(embedding) == grid_key(head) and head.activations != "static"


def _unpacked(place: Place, scheme: Scheme) -> bool:
    """Whether the runtime computes with a float copy of an integer weight."""
    return scheme.format == "int" and mode_of(scheme, place.builtin) == "dequantize"
