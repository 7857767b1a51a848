"""What each step of an inference computes and moves: multiply-accumulates, elements read and written, weights, calls.

Read from the normalised graph before anything is lowered, as the activations are, in the same order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sdk.costs.activations import computed
from sdk.costs.kernels import kernel_kind
from sdk.costs.nodes import is_fused, is_view, named, padded_bytes
from sdk.models import Layer, Model

FEATURES = ("macs", "outputs", "inputs", "weights", "calls")
"""What the time of a step is a weighted sum of."""
LAYOUT = "layout"
"""Kind of the step that brings an image of the caller into the order of the kernels, or back."""
PASSED = "passed"
"""Kind of the step that copies what the caller gives into the runtime, and out of it what it takes: once in every inference."""
PADDED = "padded"
"""Kind of the step that pads a layer's input, in the scheme of that layer, where the file's own `SAME` will not do: some kernels
pad within themselves, in front of others it is an operator."""
CALLERS = (LAYOUT, PASSED)
"""Kinds of the steps that are about the caller's tensors: they lie between no others."""
ROW = "linear_row"
"""Kind of a linear layer of one row: a matrix by a vector, for which kernels of their own exist."""
CHANNELS_LAST = (
    "conv2d", "pointwise", "depthwise", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "upsample",
)  # fmt: skip
"""Kinds (or how they begin) whose kernels want the channels of an image last; `pointwise1d` is none of them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel call: `kind` is a layer's kernel kind, or an operator's name.

    A product of matrices is `positions` x `channels` x (`taps` x `depth`), in each of `groups`; elements of other kinds are
    `inputs` and `outputs`. `calls`: how often a kernel starts (the time steps of each layer and direction of a recurrent one).
    """

    kind: str
    layer: str | None
    positions: int
    groups: int
    channels: int
    taps: int
    depth: int
    inputs: int
    outputs: int
    weights: int
    calls: int = 1

    def features(self, tile: tuple[int, int, int]) -> tuple[float, ...]:
        """Return the values of FEATURES; kernels compute whole tiles of (positions, channels, depth), the rest is padding."""
        sizes = (self.positions, self.channels, self.depth)
        high, wide, deep = (-(-size // step) * step for size, step in zip(sizes, tile, strict=True))
        macs = high * self.groups * wide * self.taps * deep
        return (float(macs), float(self.outputs), float(self.inputs), float(self.weights), float(self.calls))


def steps_of(model: Model) -> tuple[Step, ...]:
    """Return the steps of one inference at the model's example shapes; those that cost nothing have no calls."""
    layers = {layer.fused[0]: layer for layer in model.inventory.layers}
    ends = {name for layer in model.inventory.layers for name in layer.fused[1:]}
    found = []
    for node in computed(model):
        layer = layers.get(node.name)
        if layer is not None:
            found += [*_padding(node, layer), _of_layer(node, layer)]
        elif node.name in ends or is_view(node) or is_fused(node, layers):
            found.append(Step(named(node), None, 0, 0, 0, 0, 0, 0, 0, 0, calls=0))
        else:
            found.append(_of_operator(node))
    return (*found, *_layouts(model, found), _passed(model))


def _passed(model: Model) -> Step:
    """What the caller gives and takes, in elements."""
    size = sum(map(math.prod, _of_caller(model)))
    return Step(PASSED, None, 0, 1, 0, 1, 0, size, size, 0)


def _layouts(model: Model, steps: list[Step]) -> list[Step]:
    """Runtimes that keep channels last bring images of the caller into their order, and back."""
    if not any(step.kind.startswith(CHANNELS_LAST) and step.kind != "pointwise1d" for step in steps if step.calls):
        return []
    images = [math.prod(shape) for shape in _of_caller(model) if len(shape) == 4]
    return [Step(LAYOUT, None, 0, 1, 0, 1, 0, size, size, 0) for size in images]


def _of_caller(model: Model) -> list[tuple[int, ...]]:
    """Shapes of what the caller gives and takes."""
    nodes = {node.name: node for node in model.program.graph.nodes}
    signature = model.program.graph_signature
    return [_shape(nodes[name]) for name in (*signature.user_inputs, *signature.user_outputs) if name in nodes]


def _padding(node: Any, layer: Layer) -> list[Step]:
    size = padded_bytes(node) // 4
    return [Step(PADDED, layer.name, 0, 1, 0, 1, 0, math.prod(_shape(node.args[0])), size, 0)] if size else []


def _of_layer(node: Any, layer: Layer) -> Step:
    out, fed = _shape(node), _shape(node.args[1] if layer.kind == "embedding" else node.args[0])
    groups = layer.groups
    channels = layer.shape[layer.channel_axis] // (groups if layer.channel_axis == 0 else 1)
    taps = math.prod(layer.shape[2:]) if layer.kind.startswith(("conv", "depthwise")) else 1
    sizes = {"inputs": math.prod(fed), "outputs": math.prod(out), "weights": layer.parameters}
    kind = kernel_kind(layer)
    if layer.kind == "embedding":
        return Step(kind, layer.name, 0, 1, 0, 1, 0, math.prod(out), math.prod(out), 0)
    if layer.kind in ("lstm", "gru"):
        calls = time_steps(node) * (len(layer.weights) // 2)
        return Step(kind, layer.name, math.prod(fed[:-1]), 1, layer.parameters, 1, 1, **sizes, calls=calls)
    if layer.kind == "depthwise":
        return Step(kind, layer.name, _positions(out), 1, layer.shape[0], taps, 1, **sizes)
    if layer.kind == "linear":
        rows = math.prod(out[:-1])
        return Step(ROW if rows == 1 else kind, layer.name, rows, 1, channels, 1, layer.shape[1], **sizes)
    depth = layer.parameters // (channels * groups * taps)
    positions = _positions(fed if layer.kind.startswith("conv_transpose") else out)
    return Step(kind, layer.name, positions, groups, channels, taps, depth, **sizes)


def time_steps(node: Any) -> int:
    """Steps in time that a recurrent operator takes: its argument behind `bidirectional` says whether the batch is first."""
    shape = _shape(node.args[0])
    return shape[1 if node.args[8] and len(shape) == 3 else 0]


def _positions(shape: tuple[int, ...]) -> int:
    """Positions of an image or a signal, of all samples."""
    return shape[0] * math.prod(shape[2:])


def _of_operator(node: Any) -> Step:
    kind, out = named(node), _shape(node)
    fed = sum(math.prod(_shape(each)) for each in node.all_input_nodes if _known(each))
    if kind in ("matmul", "bmm") and len(_shape(node.args[0])) > 1:
        one, two = _shape(node.args[0]), _shape(node.args[1])
        batch = math.prod(out[:-2])
        return Step("matmul", None, one[-2], batch, two[-1], 1, one[-1], fed, math.prod(out), 0)
    if kind == "scaled_dot_product_attention":
        query, key = _shape(node.args[0]), _shape(node.args[1])
        heads = math.prod(query[:-2])
        return Step(kind, None, 2 * query[-2], heads, key[-2], 1, query[-1], fed, heads * query[-2] * key[-2], 0)
    return Step(kind, None, 0, 1, 0, 1, 0, fed, math.prod(out), 0)


def _known(node: Any) -> bool:
    return hasattr(node.meta.get("val"), "shape")


def _shape(node: Any) -> tuple[int, ...]:
    value = node.meta.get("val")
    if isinstance(value, tuple | list):
        value = next((each for each in value if hasattr(each, "shape")), None)
    return tuple(int(size) for size in getattr(value, "shape", ()))
