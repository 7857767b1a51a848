"""Adaptive maximum pools, and maxima put back to where they were, as plain operators: no runtime here has them."""

from __future__ import annotations

import operator
from typing import Any

from sdk.models.calls import arguments, call_before
from sdk.models.cells import replace_outputs


def plain_pools(module: Any) -> None:
    """Write adaptive maximum pools as `max_pool2d` or `1d` where their windows are even, else as maxima of each axis.

    One whose places are read too stays as it is. `max_unpool2d` becomes a product with where the maxima of its pool were.
    """
    import torch

    aten = torch.ops.aten
    plain = {aten.adaptive_max_pool1d.default: aten.max_pool1d.default, aten.adaptive_max_pool2d.default: aten.max_pool2d.default}
    for node in list(module.graph.nodes):
        if node.target is aten.max_unpool2d.default and (made := _put_back(node)) is not None:
            replace_outputs(node, (made,))
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


def _put_back(node: Any) -> Any:
    """The image of zeros and `values`, each where the first maximum of its window was; None where windows are no even ones.

    The pool itself stays for those who read its maxima.
    """
    import torch

    aten, (values, places, size) = torch.ops.aten, node.args
    pool = places.args[0] if places.target is operator.getitem else None
    if pool is None or pool.target is not aten.max_pool2d_with_indices.default:
        return None
    given = arguments(pool)
    kernel, stride, padding, dilation = (
        [*given[key], *given[key]][:2] for key in ("kernel_size", "stride", "padding", "dilation")
    )
    source = given["self"]
    *lead, high, wide = source.meta["val"].shape
    rows, columns = values.meta["val"].shape[-2:]
    if stride not in ([], kernel) or padding != [0, 0] or dilation != [1, 1] or list(size) != [high, wide]:
        return None
    if rows * kernel[0] > high or columns * kernel[1] > wide:
        return None  # rounded up: the last windows reach beyond the image
    for axis, extent in ((-2, rows * kernel[0]), (-1, columns * kernel[1])):
        source = call_before(node, aten.slice.Tensor, source, axis, 0, extent)
    count = kernel[0] * kernel[1]
    source = call_before(node, aten.reshape.default, source, [-1, rows, kernel[0], columns, kernel[1]])
    windows = call_before(node, aten.permute.default, source, [0, 1, 3, 2, 4])
    windows = call_before(node, aten.reshape.default, windows, [-1, rows, columns, count])
    highest = call_before(node, aten.eq.Tensor, windows, call_before(node, aten.amax.default, windows, [-1], True))
    order = call_before(node, aten.arange.start_step, count, 0, -1, dtype=torch.float32, device=node.meta["val"].device)
    rank = call_before(node, aten.mul.Tensor, call_before(node, aten._to_copy.default, highest, dtype=torch.float32), order)
    first = call_before(node, aten.eq.Tensor, rank, call_before(node, aten.amax.default, rank, [-1], True))
    there = call_before(node, aten._to_copy.default, first, dtype=torch.float32)
    made = call_before(node, aten.mul.Tensor, there, call_before(node, aten.reshape.default, values, [-1, rows, columns, 1]))
    made = call_before(node, aten.reshape.default, made, [-1, rows, columns, *kernel])
    made = call_before(node, aten.permute.default, made, [0, 1, 3, 2, 4])
    made = call_before(node, aten.reshape.default, made, [*lead, rows * kernel[0], columns * kernel[1]])
    short = [0, wide - columns * kernel[1], 0, high - rows * kernel[0]]
    return call_before(node, aten.constant_pad_nd.default, made, short, 0.0) if any(short) else made
