"""Finds each layer in a finished .pte by the content of its stored weight, and reads its scheme from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from sdk.errors import CheckFailed, LoweringError
from sdk.lowering.types import Quantized, Realised, Site
from sdk.models import Layer
from sdk.rounding import Grid
from sdk.schemes import all_schemes
from targets.executorch.packing import stored_scale, unpack_codes
from targets.executorch.payload import Weighted
from targets.executorch.program import FLOAT_TYPES, Call, Constant, Program

COUNTED = 1 << 20
"""Codes that are counted at once."""

LOOKUPS = {
    "quantized_decomposed::embedding_byte": 8,
    "quantized_decomposed::embedding_4bit": 4,
    "quantized_decomposed::embedding_2bit": 2,
}
"""Quantized lookup operator → bits of one code."""

OPERANDS = {
    ("qcint8", "qdint8"): (8, "channel", "dynamic"),
    ("qcint4", "qdint8"): (4, "channel", "dynamic"),
    ("qbint4", "qdint8"): (4, "group", "dynamic"),
    ("qcint8", "qint8"): (8, "channel", "static"),
    ("qcint4", "qint8"): (4, "channel", "static"),
}
"""XNNPACK data types of filter and input → bits, granularity and activations of the scheme."""

FLOATS = {("fp32", "fp32"): "fp32", ("fp16", "fp32"): "fp16", ("fp16", "fp16"): "fp16"}
"""XNNPACK data types of filter and input → scheme of a float layer."""


def find_sites(program: Program, quantized: Quantized) -> dict[str, Site]:
    """Return where each layer's weights are in `program`; LoweringError names a layer whose weight is not there."""
    looked_up: dict[str, Site] = {}
    for print_, place in call_places(program.calls):
        looked_up.setdefault(print_, place)
    return sites_at(dict(_places(program)), quantized, looked_up=looked_up)


def may_fold(layer: Layer) -> bool:
    """Whether a compiler may have used up the layer's weight: it looks constant indices up itself."""
    return layer.kind == "embedding"


def sites_at(
    places: Mapping[str, Site], quantized: Quantized, folded: str = "", looked_up: Mapping[str, Site] | None = None
) -> dict[str, Site]:
    """Return each layer's sites among `places` (fingerprint of a stored weight → its place); LoweringError as `find_sites`.

    A layer of the scheme `folded` that a compiler may have folded and that is nowhere has no site.
    """
    module = quantized.model.module()
    sites = {}
    for layer in quantized.model.inventory.layers:
        grids = quantized.grids.get(layer.name, ())
        own = looked_up or {} if layer.kind == "embedding" else {}  # a tied head may have the same codes and scales
        found = [own.get(print_, places.get(print_)) for print_ in _layer_fingerprints(module, layer, grids)]
        gone = bool(grids) and grids[0].scheme.name == folded and may_fold(layer) and not any(found)
        if any(place is None for place in found) and not gone:
            raise LoweringError(f"layer {layer.name}: its weight is not in the finished program as planned")
        sites[layer.name] = " ".join(place for place in found if place)
    return sites


def read_site(program: Program, site: Site) -> Realised:
    """Return the scheme and stored bytes at `site`; CheckFailed when there is nothing there."""
    parts = [_read_place(program, place) for place in site.split()]
    if not parts:
        raise CheckFailed("the manifest gives no place for a layer")
    schemes = sorted({part.scheme for part in parts})
    return Realised(" and ".join(schemes), sum(part.bytes for part in parts))


def _places(program: Program) -> Iterator[tuple[str, Site]]:
    """Fingerprint of every stored weight and its place; the first place of equal weights stays."""
    seen: set[str] = set()
    for print_, site in _all_places(program):
        if print_ not in seen:
            seen.add(print_)
            yield print_, site


def _all_places(program: Program) -> Iterator[tuple[str, Site]]:
    for delegate, payload in enumerate(program.payloads):
        for index, node in payload.items():
            yield _weighted_fingerprint(program, node), f"xnnpack:{delegate}:{index}"
    yield from call_places(program.calls)


def call_places(calls: Mapping[int, Call]) -> Iterator[tuple[str, Site]]:
    """Fingerprint of every constant that a kernel reads, and its place."""
    for index, call in calls.items():
        for position, constant in call.constants.items():
            yield _constant_fingerprint(call, constant), f"call:{index}:{position}"


def _weighted_fingerprint(program: Program, node: Weighted) -> str:
    import numpy as np

    data = program.blobs.get(node.filter)
    scale = program.blobs.get(node.scale, memoryview(b""))
    if data is None:
        raise CheckFailed("an XNNPACK payload refers to a blob that is not in the file")
    if node.weight in ("fp32", "fp16"):
        stored = np.frombuffer(data, np.float32 if node.weight == "fp32" else np.float16)
        return fingerprint(stored.astype(np.float32))
    codes = np.frombuffer(data, np.int8)
    if node.weight in ("qcint4", "qbint4"):
        codes = unpack_codes(codes.view(np.uint8), 4)
    if node.weight == "qbint4":
        scales = (np.frombuffer(scale, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        scales = np.frombuffer(scale, np.float32)
    return fingerprint(codes, scales)


def _constant_fingerprint(call: Call, constant: Constant) -> str:
    import numpy as np

    bits = LOOKUPS.get(call.operator.partition(".")[0])
    if bits and 1 in call.constants:
        data = np.frombuffer(constant.data, np.int8)
        codes = data if bits == 8 else unpack_codes(data.view(np.uint8), bits)
        scales = call.constants[1]
        stored = np.frombuffer(scales.data, np.float16 if FLOAT_TYPES.get(scales.scalar_type) == 16 else np.float32)
        return fingerprint(codes, stored.astype(np.float32))
    if constant.scalar_type == 6:
        return fingerprint(np.frombuffer(constant.data, np.float32))
    return hashlib.sha256(constant.data).hexdigest()


def _layer_fingerprints(module: Any, layer: Layer, grids: tuple[Grid, ...]) -> list[str]:
    if not grids:
        return [fingerprint(module.get_parameter(name).detach().numpy()) for name in layer.weights]
    if grids[0].scheme.format == "float":
        return [fingerprint(grid.dequantize().numpy()) for grid in grids]
    return [fingerprint(grid.codes.numpy(), stored_scale(grid).numpy()) for grid in grids]


def fingerprint(codes: Any, scales: Any = None) -> str:
    """Digest of a weight's values and scales, whatever order a format stores them in."""
    import numpy as np

    digest = hashlib.sha256(f"{codes.dtype} {codes.size}".encode())
    if codes.dtype == np.int8:
        counts = np.zeros(256, np.int64)
        for part in np.array_split(codes.reshape(-1).view(np.uint8), max(1, codes.size // COUNTED)):
            counts += np.bincount(part, minlength=256)
        digest.update(counts.tobytes())  # how often each integer is there: what sorting them would say, sooner
    else:
        values = codes + 0.0 if codes.dtype == np.float32 else codes  # no negative zeros, which sort either way
        digest.update(np.sort(values, axis=None).tobytes())
    if scales is not None:
        digest.update(np.sort(scales, axis=None).tobytes())
    return digest.hexdigest()


def _read_place(program: Program, place: str) -> Realised:
    kind, _, rest = place.partition(":")
    first, _, second = rest.partition(":")
    if not (first.isdigit() and second.isdigit()):
        raise CheckFailed(f"the place {place!r} of a layer cannot be read")
    if kind == "xnnpack" and int(first) < len(program.payloads):
        node = program.payloads[int(first)].get(int(second))
        if node is not None:
            keys = [key for key in (node.filter, node.scale) if key and key not in program.shared]
            stored = sum(len(program.blobs.get(key, b"")) for key in keys)
            return Realised(_scheme_of(node), stored)
    if kind == "call":
        return read_call_place(program.calls, int(first), int(second))
    raise CheckFailed(f"the file has no weight at {place}")


def read_call_place(calls: Mapping[int, Call], index: int, position: int) -> Realised:
    """Return scheme and bytes of a constant that a kernel reads; CheckFailed when there is none at that place."""
    if index not in calls or position not in calls[index].constants:
        raise CheckFailed(f"the file has no weight at call:{index}:{position}")
    return _read_call(calls[index], calls[index].constants[position])


def _scheme_of(node: Weighted) -> str:
    """Name of the scheme that the operator's data types mean, or those data types when no scheme has them."""
    types = (node.weight, node.input)
    if types in FLOATS:
        return FLOATS[types]
    if types in OPERANDS and (OPERANDS[types][2] != "static" or node.output == "qint8"):
        return scheme_called(*OPERANDS[types], node.group)
    return f"{node.weight} weight with {node.input} input and {node.output} output"


def _read_call(call: Call, constant: Constant) -> Realised:
    bits = LOOKUPS.get(call.operator.partition(".")[0])
    if bits is None or 1 not in call.constants:
        width = FLOAT_TYPES.get(constant.scalar_type)
        return Realised(f"fp{width}" if width else f"ScalarType {constant.scalar_type}", len(constant.data))
    scales = call.constants[1]
    grouped = len(scales.sizes) == 2
    group = constant.sizes[1] * (8 // bits) // scales.sizes[1] if grouped else 0
    name = scheme_called(bits, "group" if grouped else "channel", "float", group)
    return Realised(name, len(constant.data) + len(scales.data))


def scheme_called(bits: int, granularity: str, activations: str, group: int) -> str:
    """Name of the integer scheme with these properties, or the properties where no scheme has them."""
    wanted = ("int", bits, granularity, activations, group if granularity == "group" else 0)
    for name, scheme in all_schemes().items():
        if (scheme.format, scheme.bits, scheme.granularity, scheme.activations, scheme.group) == wanted:
            return name
    return f"int{bits} per {granularity} {group or ''} with {activations} activations"
