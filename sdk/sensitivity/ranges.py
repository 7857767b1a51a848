"""Calibrates the static 8-bit ranges of tensors: least squared error on samples that the range was not fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.heap import give_back
from sdk.lowering.types import Range
from sdk.models import Layer, Model
from sdk.models.layers import end_of, operators_of
from sdk.models.samples import Samples, parts_of
from sdk.sensitivity.activations import quantize_static
from sdk.sensitivity.tape import Tape

KEPT = 4096
"""Values kept per tensor and sample to judge a clipped range by."""

RATIOS = (1.0, 0.98, 0.95, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7, 1.05, 1.12, 1.2, 1.3, 1.45)
"""Parts of what was seen that a range may span; more than all of it where inputs that were not seen need it."""


def calibrate_ranges(model: Model, layers: Iterable[Layer], samples: Samples) -> dict[str, Range]:
    """Return the range of every input and output tensor of `layers`, by node name.

    A tensor that only moves another's values (padding with zero, reshape, max pooling) shares its range. What several operators
    with one weight read has one range, as what they make has: a kernel's steps and its bias are stored once.
    """
    import torch

    module = model.module()
    nodes = {node.name: node for node in module.graph.nodes}
    read = [operators_of(module.graph, layer) for layer in layers if layer.kind != "embedding"]
    ends = [[(node.args[0].name, end_of(node).name) for node in each] for each in read]
    shared = [names for each in ends for names in zip(*each, strict=True)]
    origins = {name: _origin(nodes[name]) for names in shared for name in names}
    spans: dict[str, list[tuple[float, float]]] = {name: [] for name in origins.values()}
    tape = Tape()

    class Observer(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            if node.name in spans and isinstance(value, torch.Tensor) and value.is_floating_point():
                flat = value.detach().flatten()
                tape[node.name, len(spans[node.name])] = flat[:: max(1, flat.numel() // KEPT)]
                spans[node.name].append((float(flat.min()), float(flat.max())))
            return value

    def fitted(names: Sequence[str]) -> Range:
        count = min(len(spans[name]) for name in names)
        return _fit([_Seen(*spans[name][sample], tape[name, sample]) for sample in range(count) for name in names])

    with torch.no_grad():
        for inputs in samples.inputs:
            Observer(module).run(*inputs)
    groups = _joined([{origins[name] for name in names if spans[origins[name]]} for names in shared])
    found = {name: range_ for group in groups for range_ in [fitted(sorted(group))] for name in group}
    give_back()
    return {name: found[origin] for name, origin in origins.items() if origin in found}


def _joined(groups: Iterable[set[str]]) -> list[set[str]]:
    """The groups, those with a member in common made one."""
    found: list[set[str]] = []
    for group in groups:
        same = [each for each in found if each & group]
        found = [each for each in found if not each & group] + [group.union(*same)]
    return [each for each in found if each]


def _origin(node: Any) -> str:
    """The tensor whose values `node` merely moves."""
    import torch

    aten = torch.ops.aten
    moving = {aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int, aten.flatten.using_ints,
              aten.squeeze.dim, aten.squeeze.default, aten.unsqueeze.default, aten.max_pool2d.default,
              aten.pad.default, aten.constant_pad_nd.default, aten.slice.Tensor, aten.select.int, aten.contiguous.default}
    padding = {aten.pad.default, aten.constant_pad_nd.default}
    while node.op == "call_function" and node.target in moving:
        fill = [a for a in node.args[2:] if isinstance(a, int | float) and a != 0]
        if node.target in padding and (fill or node.kwargs.get("value") or "constant" not in (*node.args[2:3], "constant")):
            break
        node = node.args[0]
    return str(node.name)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One tensor on one sample: its extremes, and some of its values."""

    low: float
    high: float
    values: Any


def _fit(seen: Sequence[_Seen]) -> Range:
    """The range of all samples times the ratio that, fitted to each half of them, loses least on the other half."""
    parts = parts_of(seen)
    ratio = _best(list(zip(parts, reversed(parts), strict=True)))
    return affine_range(*(ratio * edge for edge in _span(seen)))


def _span(seen: Sequence[_Seen]) -> tuple[float, float]:
    return min(0.0, *(each.low for each in seen)), max(0.0, *(each.high for each in seen))


def _best(pairs: Sequence[tuple[Sequence[_Seen], Sequence[_Seen]]]) -> float:
    """Ratio of least squared error over pairs of (what the range is fitted to, what it is judged on)."""
    import torch

    spans = [(_span(fitted), torch.cat([each.values for each in judged])) for fitted, judged in pairs]

    def error(ratio: float) -> float:
        made = [(affine_range(low * ratio, high * ratio), values) for (low, high), values in spans]
        return sum(float((quantize_static(values, found) - values).square().sum()) for found, values in made)

    return min(RATIOS, key=error)


def affine_range(low: float, high: float) -> Range:
    """Asymmetric int8 range that covers [low, high] and zero; the scale is exact in float32 (1 where all is zero: kernels refuse
    an output whose scale is nothing beside those of input and weight)."""
    import numpy as np

    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255.0, 1e-8) if high > low else 1.0))
    return Range(scale, int(max(-128, min(127, round(-128 - low / scale)))))
