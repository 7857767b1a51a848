"""Predicts the bytes of a finished file for any mix of schemes, from the float file and the format's tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sdk.lowering import Prices
from sdk.models import Model
from sdk.schemes import Scheme
from targets.tflite.convert import GROUPED_BUILTINS, FloatModel
from targets.tflite.flatbuffer import read
from targets.tflite.match import CHANNEL_AXIS, Place
from targets.tflite.pointwise import is_linear_scheme
from targets.tflite.recipes import mode_of

SCALES = 20
"""Bytes of a quantization table besides its vectors: offsets, the vectors' lengths and padding."""

GROUPED = 92
"""The same for group scales: details table, the scales' own tensor, buffer and name."""

DEQUANTIZE = 86
"""One more operator and the tensor between: what a dequantize in front of an operator costs besides its name."""

STATIC = 255
"""Quantize and dequantize around a static operator, quantization of both tensors, its own integer bias."""

QUANTIZED, DEQUANTIZED = 128, 90
"""Of these, the quantize in front and the dequantize behind: what is not between two static operators, the latter where nothing
else reads the tensor."""

AS_LINEAR = 18
"""What a 1x1 convolution is smaller as a fully connected operator: its options and the weight's shape."""

ONCE = {"dequantize": 50, "static": 85, "channel": 25, "group": 60}
"""What the first layer of a sort adds for all of them: codes of operators that the float file has not, tables' layouts."""


def prices(model: Model, source: FloatModel, choices: Mapping[str, Sequence[Scheme]]) -> Prices:
    """Return base bytes and the price of each layer and scheme that this model can hold."""
    held = {
        layer.name: [each for each in choices.get(layer.name, ()) if objection(each, layer.name, source) is None]
        for layer in model.inventory.layers
    }
    shares = _shares(source, held)
    base = len(source.whole()) + 8 * sum(source.shared)
    layers: dict[str, dict[str, int]] = {}
    for name, schemes in held.items():
        found = source.places.get(name, ())
        base -= sum(_float_bytes(place) for place in found)
        layers[name] = {
            scheme.name: sum(place_price(place, scheme, source.shared) for place in found)
            + sum(shares[sort] for sort in _sorts(found, scheme))
            - (AS_LINEAR if name in source.pointwise and all(is_linear_scheme(scheme, place) for place in found) else 0)
            for scheme in schemes
        }
    return Prices(base, layers, joins=_joins(source, held))


def _joins(source: FloatModel, held: Mapping[str, Sequence[Scheme]]) -> list[tuple[str, str, int]]:
    """Layers that may be static, each with one that reads its result, and what no quantize and dequantize between them saves."""
    inside = {name for loop in source.loops for name in loop.source.places}
    static = {
        name: source.places[name][0] for name, schemes in held.items()
        if name not in inside and any(scheme.activations == "static" for scheme in schemes) and _single(source.places[name])
    }
    if len(static) < 2:
        return []
    graph = read(source.data).subgraphs[0]
    operators = {name: graph.operators[place.operators[0]] for name, place in static.items()}
    made = {int(op.outputs[0]): name for name, op in operators.items() if static[name].ratio is None}
    readers = Counter([int(i) for op in graph.operators for i in op.inputs] + [int(i) for i in graph.outputs])
    found = []
    for name, op in operators.items():
        tensor = int(op.inputs[2 if static[name].builtin == "TRANSPOSE_CONV" else 0])
        if tensor in made:
            found.append((made[tensor], name, QUANTIZED + (DEQUANTIZED if readers[tensor] == 1 else 0)))
    return found


def _single(places: Sequence[Place]) -> bool:
    return len(places) == 1 and len(places[0].operators) == 1


def _shares(source: FloatModel, held: Mapping[str, Iterable[Scheme]]) -> dict[str, int]:
    """Each layer's share of what the first of a sort adds: a price is a sum, and nobody knows which layer will be the first."""
    counts = Counter(
        sort for name, schemes in held.items()
        for sort in {sort for scheme in schemes for sort in _sorts(source.places.get(name, ()), scheme)}
    )
    return {sort: round(ONCE[sort] / count) for sort, count in counts.items()}


def _sorts(places: Iterable[Place], scheme: Scheme) -> set[str]:
    """What of `ONCE` weights in a scheme need."""
    if scheme.name == "fp32":
        return set()
    modes = {mode_of(scheme, place.builtin) for place in places}
    return (modes | ({scheme.granularity} if scheme.format == "int" else set())) & ONCE.keys()


def objection(scheme: Scheme, layer: str, source: FloatModel) -> str | None:
    """Say why the layer of this model cannot be stored in `scheme`, or None when it can."""
    if scheme.name == "fp32":
        return None
    if layer not in source.places:
        return "the converter rewrote its weight, so it can only stay fp32"
    reasons = (_place_objection(scheme, place, layer in source.pointwise) for place in source.places[layer])
    return next((reason for reason in reasons if reason is not None), None)


def _place_objection(scheme: Scheme, place: Place, pointwise: bool) -> str | None:
    inputs = math.prod(place.shape) // _channels(place)
    narrow = scheme.format == "int" and scheme.bits < 8
    if narrow and scheme.activations != "float" and place.builtin not in GROUPED_BUILTINS and not pointwise:
        return "only 1x1 convolutions with stride 1 compute with fewer than 8 bits soundly and fast"
    if scheme.granularity == "group" and (place.builtin not in GROUPED_BUILTINS and not pointwise):
        return "only linears, 1x1 convolutions and lookups hold group scales"
    if scheme.granularity == "group" and inputs % scheme.group:
        return f"{inputs} inputs per channel do not divide into groups of {scheme.group}"
    packed = 8 // scheme.bits if narrow else 1
    if inputs % packed and (scheme.activations != "float" or place.builtin == "EMBEDDING_LOOKUP"):
        return f"{inputs} inputs per channel do not fill whole bytes of {packed} codes, which the kernels need"
    return None


def _channels(place: Place) -> int:
    return int(place.shape[CHANNEL_AXIS[place.builtin]])


def _aligned(size: int) -> int:
    return (size + 4 + 15) // 16 * 16


def _float_bytes(place: Place) -> int:
    return _aligned(4 * math.prod(place.shape))


def weight_bytes(place: Place, scheme: Scheme) -> int:
    """Bytes of the buffers that hold one weight: its codes, and the scales of groups."""
    elements = math.prod(place.shape)
    scales = _aligned(2 * elements // scheme.group) if scheme.granularity == "group" else 0
    return _aligned(math.ceil(elements * scheme.bits / 8)) + scales


def place_price(place: Place, scheme: Scheme, shared: frozenset[int]) -> int:
    """Bytes of one weight with everything that its scheme adds to the file."""
    if scheme.name == "fp32":
        return _float_bytes(place)
    channels, size = _channels(place), weight_bytes(place, scheme)
    name = len(place.parameter)
    mode = mode_of(scheme, place.builtin)
    if mode == "dequantize":
        size += DEQUANTIZE + name
    elif mode == "static":
        size += STATIC + (4 if channels in shared else 12) * channels + 3 * name
    if scheme.granularity == "group":
        return size + GROUPED + name
    if scheme.format == "int":
        size += SCALES + 4 * channels + (0 if channels in shared else 8 * channels)
    return size


def repeated(place: Place, scheme: Scheme) -> int:
    """Bytes that a second graph of the same file adds to a weight that both read: its tables and operators alone."""
    if scheme.name == "fp32":
        return 0
    size = DEQUANTIZE + len(place.parameter) if mode_of(scheme, place.builtin) == "dequantize" else 0
    if scheme.granularity == "group":
        return size + GROUPED + len(place.parameter)
    return size + (SCALES if scheme.format == "int" else 0)
