"""Puts the grids of a plan into a converted program and writes the package; tells its bytes beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.errors import LoweringError
from sdk.lowering import Prices, Quantized
from sdk.models import Layer, Model
from sdk.schemes import Scheme
from targets.coreml.blobs import ALIGNMENT, BlobFile, stored_bytes
from targets.coreml.constexpr import Place, Target, constant, file_value, float_operation, operations
from targets.coreml.convert import FloatProgram
from targets.coreml.layout import Placement, blank, changed, from_grid, refusal
from targets.coreml.package import manifest_bytes, write_package
from targets.coreml.program import main_block
from targets.coreml.sharing import SHARED, as_stored

UNKNOWN_OFFSET = 1 << 20
"""Stands for an offset that is not known yet: most are numbers of its length."""


@dataclass(slots=True)
class Tally:
    """A `Place` that writes nothing and adds up what the weights file would hold."""

    total: int = 0

    def __call__(self, array: Any, dtype: str) -> Any:
        self.total += stored_bytes(dtype, array.size)
        return file_value(array.shape, dtype, UNKNOWN_OFFSET)


@dataclass(slots=True)
class _Writer:
    """A `Place` that appends to the weights file."""

    file: BlobFile
    written: int = field(default=0)

    def __call__(self, array: Any, dtype: str) -> Any:
        self.written += 1
        return file_value(array.shape, dtype, self.file.write(array, dtype))


def write(quantized: Quantized, program: FloatProgram, path: Path) -> dict[str, str]:
    """Write the package of `quantized` to `path` and return each layer's constants as its site."""
    layers = quantized.model.inventory.layers
    quantized = as_stored(quantized)
    jobs: dict[str, tuple[Placement, Any]] = {}
    for layer in layers:
        _check(layer, quantized.schemes.get(layer.name), program)
        for places, grid in zip(program.placements[layer.name], quantized.grids.get(layer.name, ()), strict=False):
            jobs.update({place.const: (place, grid) for place in places})
    spec = type(program.spec).FromString(program.spec.SerializeToString())
    with write_package(path) as package:
        writer = _Writer(BlobFile(package.weights))
        for block in _blocks(main_block(spec)):
            _rewrite(block, program, jobs, writer)
        package.finish(spec)
    return {layer.name: _site(layer, program) for layer in layers}


def _site(layer: Layer, program: FloatProgram) -> str:
    mark = SHARED if layer.name in program.shared else ""
    return mark + ",".join(p.const for w in program.placements[layer.name] for p in w)


def _blocks(block: Any) -> Any:
    yield block
    for op in block.operations:
        for inner in op.blocks:
            yield from _blocks(inner)


def _rewrite(block: Any, program: FloatProgram, jobs: Mapping[str, tuple[Placement, Any]], place: Place) -> None:
    """Write every constant of a block into the weights file, planned ones compressed."""
    made: list[Any] = []
    for op in block.operations:
        name = op.outputs[0].name if op.type == "const" else ""
        if name in jobs and name in program.blobs:
            made.extend(_compressed(*jobs[name], program, place))
        elif name in program.blobs:
            dtype, array = program.blobs[name]
            made.append(constant(Target(name, array.shape, dtype), array, place))
        else:
            made.append(op)
    copies = [type(op).FromString(op.SerializeToString()) for op in made]
    del block.operations[:]
    block.operations.extend(copies)


def _compressed(placement: Placement, grid: Any, program: FloatProgram, place: Place) -> list[Any]:
    target = Target(placement.const, placement.shape, placement.dtype)
    if grid.scheme.format == "float":
        return [float_operation(target, program.blobs[placement.const][1], place)]
    return operations(target, grid.scheme, changed(from_grid(grid), placement), program.ios, place)


def _check(layer: Layer, scheme: Scheme | None, program: FloatProgram) -> None:
    if scheme is None:
        return
    reason = objection(layer, scheme, program)
    if reason is not None:
        raise LoweringError(f"coreml: layer {layer.name!r} cannot be stored as {scheme.name}: {reason}")


def objection(layer: Layer, scheme: Scheme, program: FloatProgram) -> str | None:
    """Say why a layer of the program cannot be stored in `scheme`, or None; an LSTM's weights must all hold it."""
    weights = program.placements[layer.name] or ((),)
    for name, places in zip(layer.weights, weights, strict=False):
        reason = refusal(scheme, program.shapes[name], layer.channel_axis, places, program.ios)
        if reason is not None:
            return reason
    return None


def price(model: Model, program: FloatProgram, choices: Mapping[str, Any]) -> Prices:
    """Return the bytes of each choice: its operations in the graph and its blobs in the weights file.

    Choices that the layer cannot take are left out.
    """
    base = program.spec.ByteSize() + manifest_bytes() + ALIGNMENT
    placed = {p.const: p for weights in program.placements.values() for w in weights for p in w}
    for name, (dtype, array) in program.blobs.items():
        if name in placed:
            base -= _message(program.operations[name])
        else:
            base += stored_bytes(dtype, array.size)
    return Prices(base, {
        layer.name: {s.name: cost for s in choices.get(layer.name, ()) if (cost := _cost(layer, s, program)) is not None}
        for layer in model.inventory.layers
    })


def _cost(layer: Layer, scheme: Scheme, program: FloatProgram) -> int | None:
    weights = program.placements[layer.name]
    if objection(layer, scheme, program) is not None:
        return None
    if layer.name in program.shared:
        return 0
    total = 0
    for name, places in zip(layer.weights, weights, strict=False):
        shape = program.shapes[name]
        for place in places:
            tally = Tally()
            total += sum(_message(op) for op in _priced(place, scheme, shape, layer.channel_axis, program, tally)) + tally.total
    return total


def _priced(
    place: Placement, scheme: Scheme, shape: tuple[int, ...], axis: int, program: FloatProgram, tally: Tally
) -> list[Any]:
    if place.const not in program.blobs:
        return []
    target = Target(place.const, place.shape, place.dtype)
    if scheme.format == "float":
        return [float_operation(target, program.blobs[place.const][1], tally)]
    return operations(target, scheme, changed(blank(scheme, shape, axis), place), program.ios, tally)


def _message(op: Any) -> int:
    """Bytes of an operation inside its block: tag, length and content."""
    size = op.ByteSize()
    return int(size + 1 + max(1, (size.bit_length() + 6) // 7))
