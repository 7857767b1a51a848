"""Finds each layer's weight among the constants of the converted program, by value and by name."""

from __future__ import annotations

import re
from typing import Any

from sdk.models import Layer, Model
from targets.coreml.layout import Placement, change_value
from targets.coreml.prepare import Prepared
from targets.coreml.program import dtype_name, inline_value, main_block, walk

_CHANGES = {
    "linear": ("same", "transposed"), "embedding": ("same",), "lstm": ("same", "gates", "transposed"),
    "gru": ("same", "transposed"),
}
"""What the converter may do to a weight by layer kind; convolutions stay the same."""


def find_layers(
    model: Model, prepared: Prepared, spec: Any, blobs: dict[str, tuple[str, Any]], held: dict[str, str]
) -> dict[str, tuple[tuple[Placement, ...], ...]]:
    """Return per layer and weight the constants that hold it; no constant is given to two weights.

    `held`: weights whose constant is known, as they are.
    """
    if prepared.standing:
        return {
            layer.name: tuple((Placement(held[w], "same", blobs[held[w]][1].shape),) if w in held else () for w in layer.weights)
            for layer in model.inventory.layers
        }
    constants = _by_size(spec, blobs)
    taken: set[str] = set()
    module = model.program.module(check_guards=False)
    found = {}
    for layer in model.inventory.layers:
        places = tuple(_places(layer, name, module.get_parameter(name), prepared, constants, taken) for name in layer.weights)
        found[layer.name] = places if all(places) else ()
    return found


def _by_size(spec: Any, blobs: dict[str, tuple[str, Any]]) -> dict[int, list[tuple[str, Any]]]:
    sizes: dict[int, list[tuple[str, Any]]] = {}
    for op in walk(main_block(spec)):
        if op.type != "const":
            continue
        name, value = op.outputs[0].name, op.attributes["val"]
        if dtype_name(value) in ("float16", "float32"):
            array = blobs[name][1] if name in blobs else inline_value(value)
            sizes.setdefault(array.size, []).append((name, array))
    return sizes


def _places(
    layer: Layer, name: str, weight: Any, prepared: Prepared, constants: dict[int, list[tuple[str, Any]]], taken: set[str]
) -> tuple[Placement, ...]:
    import numpy as np

    value = weight.detach().numpy()
    looked_up = prepared.lookups.get(name, ())
    stem = prepared.names.get(name, name)
    places = list(_equal(layer, value, stem, constants, taken))
    for folded, rows, order in looked_up:
        part = value[np.asarray(rows)].transpose(order)
        for const, array in constants.get(part.size, ()):
            if const not in taken and _mentions(const, folded) and _holds(array, part):
                flat = tuple(int(r) for r in np.ravel(rows))
                places.append(Placement(const, "rows", tuple(array.shape), flat, array.dtype.name, tuple(rows.shape), order))
                break
        else:
            return ()
    taken.update(p.const for p in places)
    return tuple(places)


def _equal(layer: Layer, value: Any, stem: str, constants: dict[int, list[tuple[str, Any]]], taken: set[str]) -> Any:
    """Constants equal to the weight: those named after it, else the first one (an LSTM's have names of their own)."""
    candidates = [(c, a) for c, a in constants.get(value.size, ()) if c not in taken]
    for change in _CHANGES.get(layer.kind, ("same",)):
        wanted = value if change == "same" or value.ndim != 2 else change_value(value, change)
        same = [(c, a) for c, a in candidates if a.shape == wanted.shape and _holds(a, wanted)]
        named = [(c, a) for c, a in same if _mentions(c, stem)]
        chosen = named or (same[:1] if layer.kind == "lstm" or not any(_is_parameter(c) for c, _ in same) else [])
        if chosen:
            return [Placement(c, change, tuple(a.shape), dtype=a.dtype.name) for c, a in chosen]
    return []


def _holds(array: Any, wanted: Any) -> bool:
    """Whether a constant is the wanted float32 weight in its own float type."""
    return bool(array.tobytes() == wanted.astype(array.dtype).tobytes())


def _mentions(const: str, stem: str) -> bool:
    return re.fullmatch(rf"{re.escape(stem)}(_to_fp16|_cast_fp16|_\d+)*", const) is not None


def _is_parameter(const: str) -> bool:
    return const.startswith(("p_", "b_"))
