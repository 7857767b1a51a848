"""Adaptive maximum pools as plain ones: no runtime here has them."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import replace_outputs


def plain_pools(module: Any) -> None:
    """Write adaptive maximum pools as `max_pool2d` or `1d` where their windows are even, else as maxima of each axis.

    One whose places are read too stays as it is.
    """
    import torch

    aten = torch.ops.aten
    plain = {aten.adaptive_max_pool1d.default: aten.max_pool1d.default, aten.adaptive_max_pool2d.default: aten.max_pool2d.default}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in plain:
            continue
        if any(user.args[1] != 0 and user.users for user in node.users):
            continue
        made, size = node.args[0], node.args[1]
        extents = [int(extent) for extent in made.meta["val"].shape[-len(size) :]]
        if all(extent % count == 0 for extent, count in zip(extents, size, strict=True)):
            kernel = [extent // count for extent, count in zip(extents, size, strict=True)]
            made = call_before(node, plain[node.target], made, kernel, kernel)
        else:
            for axis, extent, count in zip(range(-len(size), 0), extents, size, strict=True):
                made = _greatest(node, made, axis, extent, count)
        replace_outputs(node, (made, None))


def _greatest(node: Any, value: Any, axis: int, extent: int, count: int) -> Any:
    """The maxima of `count` windows of an axis, which may overlap."""
    import torch

    aten, parts = torch.ops.aten, []
    for index in range(count):
        begin, end = index * extent // count, -(-(index + 1) * extent // count)
        window = call_before(node, aten.slice.Tensor, value, axis, begin, end)
        parts.append(call_before(node, aten.amax.default, window, [axis], True))
    return call_before(node, aten.cat.default, parts, axis)
