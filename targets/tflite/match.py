"""Finds each layer's weight among the constants of a converted model: which tensor, which axes, which operators."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdk.models import Layer

WEIGHT_OPERAND = {
    "FULLY_CONNECTED": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "TRANSPOSE_CONV": 1, "EMBEDDING_LOOKUP": 1,
}
"""Operators whose weight can be quantized → the operand that holds it."""

CHANNEL_AXIS = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "EMBEDDING_LOOKUP": 0}
"""Axis of a weight tensor along which the operator's kernels accept one scale per channel."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one weight parameter is in the file.

    `tensor` is its index and `operators` the indices of those that read it, all of kind `builtin`. `axes` is the
    permutation from the parameter's axes to the file's, `flip` whether its spatial axes are reversed, `shape` the
    shape there. `ratio` multiplies each output channel (the converter merged a factor into the weight, of any sign), or None.
    `rows` are the rows of the parameter that the file keeps, or None for all.
    """

    parameter: str
    tensor: int
    builtin: str
    operators: tuple[int, ...]
    axes: tuple[int, ...]
    flip: bool
    shape: tuple[int, ...]
    ratio: Any = field(default=None, repr=False)
    rows: Any = field(default=None, repr=False)

    def arrange(self, values: Any) -> Any:
        """Return an array over the whole parameter (numpy) in the file's layout."""
        import numpy as np

        kept = values if self.rows is None else values[self.rows]
        moved = np.transpose(kept, self.axes)
        if self.flip:
            moved = moved[:, ::-1, ::-1, :]
        return np.ascontiguousarray(moved.reshape(self.shape))

    @property
    def factors(self) -> Any:
        """The ratio as (signs of the codes, factors of the scales), each over the file's channels; zero is the sign's."""
        import numpy as np

        return np.sign(self.ratio), np.where(self.ratio == 0, 1, np.abs(self.ratio)).astype(np.float32)

    def over_channels(self, values: Any) -> Any:
        """Return one value per channel in the shape that multiplies an array of the file."""
        shape = [1] * len(self.shape)
        shape[CHANNEL_AXIS[self.builtin]] = -1
        return values.reshape(shape)


def find_places(
    flat: Any, layers: Iterable[Layer], weights: Mapping[str, Any], rows: Mapping[str, Any]
) -> dict[str, tuple[Place, ...]]:
    """Return layer name → places of its weights, for every one of `layers` whose weights are all found in `flat` (a ModelT).

    `weights`: parameter name → array that was converted. A layer that is missing from the result was rewritten by
    the converter and can only stay float.
    """
    candidates = _candidates(flat)
    found: dict[str, tuple[Place, ...]] = {}
    for layer in layers:
        places = [_find(candidates, flat, layer, name, weights[name], rows.get(name)) for name in layer.weights]
        if all(place is not None for place in places):
            found[layer.name] = tuple(place for place in places if place is not None)
    return found


def _candidates(flat: Any) -> dict[int, list[tuple[int, str, tuple[int, ...]]]]:
    """Number of elements → (tensor, operator name, operator indices) of the constants in weight position."""
    from targets.tflite.flatbuffer import builtin_name, tensor_array

    graph = flat.subgraphs[0]
    readers: dict[int, list[tuple[int, str, int]]] = {}
    for index, op in enumerate(graph.operators):
        name = builtin_name(flat, op)
        for position, tensor in enumerate(op.inputs):
            readers.setdefault(int(tensor), []).append((index, name, position))
    out: dict[int, list[tuple[int, str, tuple[int, ...]]]] = {}
    for tensor, uses in readers.items():
        names = {name for _, name, _ in uses}
        if len(names) != 1 or tensor < 0 or flat.buffers[graph.tensors[tensor].buffer].data is None:
            continue
        name = names.pop()
        if any(position != WEIGHT_OPERAND.get(name) for _, _, position in uses) or graph.tensors[tensor].type != 0:
            continue
        size = tensor_array(flat, tensor).size
        out.setdefault(size, []).append((tensor, name, tuple(index for index, _, _ in uses)))
    return out


def _find(
    candidates: Mapping[int, list[tuple[int, str, tuple[int, ...]]]], flat: Any, layer: Layer, name: str, weight: Any, rows: Any
) -> Place | None:
    from targets.tflite.flatbuffer import tensor_array

    for tensor, builtin, operators in candidates.get(weight.size, ()):
        stored = tensor_array(flat, tensor)
        for axes, flip in _layouts(weight, stored.shape, layer.channel_axis, CHANNEL_AXIS[builtin]):
            ratio = _ratio(_arranged(weight, axes, flip, stored.shape), stored, CHANNEL_AXIS[builtin])
            if ratio is not None:
                kept = None if bool((ratio == 1).all()) else ratio
                return Place(name, tensor, builtin, operators, axes, flip, stored.shape, kept, rows)
    return None


def _arranged(weight: Any, axes: tuple[int, ...], flip: bool, shape: tuple[int, ...]) -> Any:
    import numpy as np

    moved = np.transpose(weight, axes)
    return (moved[:, ::-1, ::-1, :] if flip else moved).reshape(shape)


def _layouts(
    weight: Any, stored: tuple[int, ...], channel: int, stored_channel: int
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Permutations of the weight's axes that give the stored shape (ones aside) and put the channels where they belong."""
    kept = tuple(size for size in stored if size != 1)
    if stored_channel >= len(stored) or stored[stored_channel] != weight.shape[channel]:
        return
    for axes in itertools.permutations(range(weight.ndim)):
        if tuple(weight.shape[a] for a in axes if weight.shape[a] != 1) != kept:
            continue
        place = axes.index(channel)
        if weight.shape[channel] > 1 and (
            sum(weight.shape[a] != 1 for a in axes[:place]) != sum(size != 1 for size in stored[:stored_channel])
        ):
            continue
        yield axes, False
        if weight.ndim == len(stored) == 4 and stored_channel == 0 and axes[0] == channel:
            yield axes, True


def _ratio(weight: Any, stored: Any, channel: int) -> Any:
    """Factor per output channel between the stored and the true weight, or None when they are not the same weight."""
    import numpy as np

    a = np.moveaxis(stored, channel, 0).reshape(stored.shape[channel], -1)
    w = np.moveaxis(weight, channel, 0).reshape(a.shape)
    if np.array_equal(a, w):
        return np.ones(len(a), np.float32)
    probe = slice(None) if a.size < 65536 else slice(0, 1)
    if _fit(a[probe], w[probe]) is None:
        return None
    return _fit(a, w)


def _fit(a: Any, w: Any) -> Any:
    import numpy as np

    energy = np.einsum("ij,ij->i", w, w, dtype=np.float64)
    dot = np.einsum("ij,ij->i", a, w, dtype=np.float64)
    ratio = np.where(energy > 0, dot / np.where(energy > 0, energy, 1), 1.0)
    error = np.abs(a - ratio[:, None] * w).max(1)
    if w.shape[1] == 1 and not np.allclose(ratio, ratio[0], rtol=1e-4):
        return None  # one weight per channel: any two vectors are proportional
    good = error <= 1e-5 * np.abs(a).max(1).clip(1e-30)
    told = np.mean((ratio != 0) & (energy > 0))  # channels that a factor of zero leaves empty say nothing
    return ratio.astype(np.float32) if bool(good.all()) and told >= 0.5 else None
