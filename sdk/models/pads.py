"""Zero padding in front of a convolution as the convolution's own, which runtimes do without a step, in 8 bits too; exact."""

from __future__ import annotations

import math
from typing import Any

from sdk.models.calls import arguments


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
