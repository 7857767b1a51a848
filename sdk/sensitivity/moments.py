"""Second moments of layers' inputs over the calibration samples: what error feedback weighs a weight's error with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sdk.models import Layer, Model
from sdk.models.samples import Samples, parts_of
from sdk.rounding import Moments, Part
from sdk.sensitivity.reach import Reach, reaching
from sdk.sensitivity.stream import Stream

KINDS = frozenset({"linear", "conv1d", "conv2d", "depthwise"})
"""Kinds of layers whose output is a product of their weight's rows with windows of the input."""

ROWS, TIMES = 32768, 128
"""Input rows (tokens, or positions of a convolution) that are taken of all samples together, evenly spread: so many, or so many
per input of an output channel if that is fewer."""

LARGEST = 8192
"""Inputs per output channel beyond which a layer is left to plain rounding (256 MB of moments)."""


def second_moments(model: Model, samples: Samples, parts: int = 2) -> tuple[Part, ...]:
    """Return the moments of the inputs of all layers that have them, over each of `parts` equal parts of the samples.

    Fewer samples make a part each; synthetic samples make none. Layers that share a weight add up; layers that read the
    same rows of one tensor share one object. Rows are in the
    order of the weight flattened behind its channel axis; those that reach no output are left out (see `reaching`).
    """
    if samples.origin != "given":
        return ()
    layers = model.inventory.layers
    stream = Stream(model, samples.inputs, [layers])
    return streamed_moments(stream, stream.places[0], layers, reaching(model.module(), layers, samples.inputs), parts)


def streamed_moments(
    stream: Stream, place: int, layers: Sequence[Layer], reach: Sequence[Reach], parts: int
) -> tuple[Part, ...]:
    """Return the same of `layers` in the segment at `place`; `reach` of each sample."""
    import torch

    found: dict[str, MomentsSum] = {}
    calls: dict[Any, Layer] = {}
    owners: dict[str, str] = {}
    count = len(reach)
    ends = {part[-1] for part in parts_of(range(count), parts)}
    made: list[Part] = []

    class Summing(torch.fx.Interpreter):  # type: ignore[misc]
        sample: int
        left: int

        def run_node(self, node: Any) -> Any:
            if not self.left and stream.is_last(place):
                return None  # nobody needs what comes after the last layer
            layer = calls.get(node)
            if layer is not None:
                self.left -= 1
                if owners[layer.name] == layer.name:
                    args, _ = self.fetch_args_kwargs_from_env(node)
                    rows = input_rows(layer, args, rows_of(layer, ROWS, count), reach[self.sample].get(layer.name))
                    found.setdefault(layer.name, MomentsSum()).add(rows)
            return super().run_node(node)

    def run(sample: int, module: Any, values: tuple[Any, ...]) -> Any:
        if sample == 0:
            calls.update(product_calls(module, layers))
            owners.update({name: names[0] for names in _readers(calls, reach) for name in names})
        summing = Summing(module)
        summing.sample, summing.left = sample, len(calls)
        outputs = summing.run(*values)
        if sample in ends:
            summed = {name: total.moments() for name, total in found.items()}
            made.append({layer.name: summed[owners[layer.name]] for layer in layers if layer.name in owners})
            found.clear()
        return outputs

    stream.forward(place, run)
    return tuple(made)


def _readers(calls: Mapping[Any, Layer], reach: Sequence[Reach]) -> list[list[str]]:
    """Names of layers, those together that take the same rows of one tensor in every sample: query, key and value, say."""
    uses = Counter(layer.name for layer in calls.values())
    groups: dict[Any, list[str]] = {}
    for node, layer in calls.items():
        if layer.kind != "linear" or uses[layer.name] > 1:
            groups[layer.name] = [layer.name]
        else:
            rows = tuple(None if (found := each.get(layer.name)) is None else found.numpy().tobytes() for each in reach)
            groups.setdefault((node.args[0], rows), []).append(layer.name)
    return list(groups.values())


class MomentsSum:
    """Adds up the moments of one layer, sample by sample."""

    def __init__(self) -> None:
        self._total: Any = None
        self._samples = 0
        self._rows = 0
        self._squares = 0.0

    def add(self, rows: Any) -> None:
        """Add one sample's `rows` ([groups, rows, k])."""
        self._total = add_product(self._total, rows, rows)
        self._samples += 1
        self._rows += rows.shape[1]
        self._squares += squares_off_diagonal(rows)

    def moments(self) -> Moments:
        """Return the mean over the samples, symmetric to the bit: a product of a matrix with itself need not be."""
        lower = (self._total / self._samples).tril()
        return Moments(lower + lower.tril(-1).transpose(1, 2), self._samples, self._rows, self._squares)


def add_product(total: Any, left: Any, right: Any) -> Any:
    """`total` (None: nothing yet) plus the mean of left·rightᵀ over the rows of both ([groups, rows, k]), in place."""
    import torch

    if total is None:
        total = torch.zeros(left.shape[0], left.shape[2], right.shape[2])
    return total.baddbmm_(left.transpose(1, 2), right, alpha=1 / left.shape[1])


def squares_off_diagonal(rows: Any) -> float:
    """Sum of the squares off the diagonal of XᵀX / n, by way of XXᵀ where the rows of X are fewer than its columns."""
    n, k = int(rows.shape[1]), int(rows.shape[2])
    product = rows @ rows.transpose(1, 2) if n < k else rows.transpose(1, 2) @ rows
    diagonal = rows.square().sum(1)
    found = float(product.square().sum() - diagonal.square().sum()) / n**2
    return max(0.0, found)


def product_calls(module: Any, layers: Iterable[Layer]) -> dict[Any, Layer]:
    """Operators of `module` that are a layer of KINDS, and have few enough inputs per channel."""
    wanted = {layer.weights[0]: layer for layer in layers if layer.kind in KINDS}
    found = {}
    for node in module.graph.nodes:
        weights = [arg for arg in node.args[1:2] if getattr(arg, "op", None) == "get_attr"]
        layer = wanted.get(str(weights[0].target)) if node.op == "call_function" and weights else None
        if layer is not None and layer.parameters // layer.shape[layer.channel_axis] <= LARGEST:
            found[node] = layer
    return found


def rows_of(layer: Layer, most: int, samples: int) -> int:
    """Rows that are taken of each sample, `most` of all of them together."""
    return max(1, min(most, TIMES * layer.parameters // layer.shape[layer.channel_axis]) // samples)


def input_rows(layer: Layer, args: Sequence[Any], most: int, chosen: Any = None) -> Any:
    """At most about `most` rows of the operator's input as [groups, rows, k], in the order of the flattened weight.

    `chosen` (bool, one per row; None: all) are the rows of a linear layer that may be taken.
    """
    if layer.kind == "linear":
        rows = args[0].reshape(-1, args[0].shape[-1])
        rows = rows if chosen is None else rows[chosen]
        return rows[:: -(-rows.shape[0] // most)].unsqueeze(0)
    return _windows(args, most)


def _windows(args: Sequence[Any], most: int) -> Any:
    """Windows of a convolution (im2col) at evenly spread output positions."""
    import torch

    value, weight = args[0], args[1]
    dims = value.dim() - 2
    stride, padding, dilation = (args[i] if len(args) > i else None for i in (3, 4, 5))
    groups = args[6] if len(args) > 6 else 1
    kernel, strides, dilations = list(weight.shape[2:]), _each(stride, 1, dims), _each(dilation, 1, dims)
    paddings = _padding(padding, kernel, dilations, dims)
    if dims == 1:
        value = value.unsqueeze(2)
        kernel, strides, dilations, paddings = [1, *kernel], [1, *strides], [1, *dilations], [(0, 0), *paddings]
    around = (*paddings[1], *paddings[0])
    views = torch.nn.functional.pad(value, around) if any(around) else value
    for axis in (0, 1):
        views = views.unfold(axis + 2, dilations[axis] * (kernel[axis] - 1) + 1, strides[axis])
    views = views[..., :: dilations[0], :: dilations[1]]  # [n, c, h, w, kh, kw]
    n, c, h, w = views.shape[:4]
    step = max(1, math.ceil((n * h * w / most) ** 0.5))
    views = views[:, :, ::step, ::step]
    parts = views.reshape(n, groups, c // groups, *views.shape[2:]).permute(1, 0, 3, 4, 2, 5, 6)
    return parts.reshape(groups, -1, (c // groups) * kernel[0] * kernel[1])


def _each(given: Any, default: int, dims: int) -> list[int]:
    """One value per dimension from what the operator was given: none, one for all, or one each."""
    if not given:
        return [default] * dims
    return [int(v) for v in given] if len(given) == dims else [int(given[0])] * dims


def _padding(padding: Any, kernel: list[int], dilation: list[int], dims: int) -> list[tuple[int, int]]:
    """Padding before and after, by dimension; `same` pads one more behind where it must."""
    if padding == "valid":
        return [(0, 0)] * dims
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return [(p, p) for p in _each(padding, 0, dims)]
