"""A language model's tied embedding and head as one constant, which the lookup and the matrix product both read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sdk.errors import LoweringError
from sdk.lowering import Quantized
from sdk.models import Model
from sdk.quantize.tied import tie, tied_layers
from targets.coreml.layout import Placement
from targets.coreml.program import main_block, rename

SHARED = "="
"""In front of the site of a layer whose weight another layer stores."""


def share_tied(
    model: Model, spec: Any, blobs: dict[str, tuple[str, Any]], placements: dict[str, tuple[tuple[Placement, ...], ...]]
) -> frozenset[str]:
    """Let later layers read the constant of the earlier one they are tied to, drop theirs, and return their names."""
    shared, block = {}, main_block(spec)
    for first, later in tied_layers(model):
        kept, own = ([p for places in placements[name] for p in places] for name in (first, later))
        if len(kept) != 1 or len(own) != 1 or replace(own[0], const=kept[0].const) != kept[0]:
            raise LoweringError(f"coreml: {later!r} is tied to {first!r}, but coremltools stores them in different forms")
        shared[later] = own[0].const
        rename(block, {own[0].const: kept[0].const})
        del blobs[own[0].const]
        placements[later] = placements[first]
    for op in [op for op in block.operations if op.type == "const" and _stated(op) in shared.values()]:
        block.operations.remove(op)
    return frozenset(shared)


def _stated(op: Any) -> str:
    """The name that a constant was given, which renaming its output leaves."""
    return str(op.attributes["name"].immediateValue.tensor.strings.values[0])


def as_stored(quantized: Quantized) -> Quantized:
    """Return `quantized` with one grid for a tied embedding and head; LoweringError when they have different schemes."""
    for first, later in tied_layers(quantized.model):
        if quantized.schemes.get(first) != quantized.schemes.get(later):
            raise LoweringError(f"coreml: {first!r} and {later!r} are stored once and need one scheme")
    return tie(quantized)
