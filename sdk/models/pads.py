"""Zero pads in front of a convolution as its own, which runtimes do without a step; pads that cut (`F.pad` by less than zero),
which converters refuse, as parts taken; exact."""

from __future__ import annotations

import math
from typing import Any

from sdk.models.calls import arguments, call_before
from sdk.models.cells import replace_calls


def fold_pads(module: Any) -> None:
    """Let convolutions pad for themselves what a zero pad of both sides alike puts around their input.

    Pads of one side more (TensorFlow's `SAME` at stride 2) stay: a convolution of ATen has one number for both sides.
    """
    import torch

    aten = torch.ops.aten
    convolutions = (aten.conv1d.default, aten.conv2d.default)
    for node in list(module.graph.nodes):
        while node.target in convolutions:  # pads may stand behind each other
            source, given = node.args[0], arguments(node)
            more = _both_sides(source, given["weight"].meta["val"].dim() - 2)
            if more is None:
                break
            pads = [given["padding"]] * len(more) if isinstance(given["padding"], int) else [*given["padding"]]
            pads = pads * len(more) if len(pads) < len(more) else pads
            node.kwargs = {}
            node.args = (
                source.args[0], given["weight"], given["bias"], given["stride"],
                [own + by for own, by in zip(pads, more, strict=True)], given["dilation"], given["groups"],
            )  # fmt: skip
    module.graph.eliminate_dead_code()


def _both_sides(node: Any, axes: int) -> list[int] | None:
    """Zeros that a node puts on either side of the last `axes`, the first of them first; None where it does anything else."""
    import torch

    aten = torch.ops.aten
    if getattr(node, "target", None) not in (aten.pad.default, aten.constant_pad_nd.default):
        return None
    given = arguments(node)
    sides, fill = [*given["pad"]], given.get("value")
    if given.get("mode", "constant") != "constant" or (fill is not None and fill != 0) or math.prod(node.meta["val"].shape) == 0:
        return None
    pairs = list(zip(sides[::2], sides[1::2], strict=True))
    if any(low != high or low < 0 for low, high in pairs) or any(pair != (0, 0) for pair in pairs[axes:]):
        return None
    near = [low for low, _ in pairs[:axes]]
    return [*near, *[0] * (axes - len(near))][::-1]


def cut_pads(module: Any) -> None:
    """Write what a constant padding cuts off as a part taken."""
    import torch

    aten = torch.ops.aten
    replace_calls(module, dict.fromkeys((aten.pad.default, aten.constant_pad_nd.default), _cut))


def _cut(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten, made, borders = torch.ops.aten, given["self"], list(given["pad"])
    if all(border >= 0 for border in borders) or given.get("mode", "constant") != "constant":
        return None
    shape = made.meta["val"].shape
    for place, (before, after) in enumerate(zip(borders[::2], borders[1::2], strict=True), 1):
        if min(before, after) < 0:
            ends = max(-before, 0), shape[-place] - max(-after, 0)
            made = call_before(node, aten.slice.Tensor, made, len(shape) - place, *ends)
    left = [max(border, 0) for border in borders]
    return (call_before(node, aten.constant_pad_nd.default, made, left, given["value"] or 0.0) if any(left) else made,)
