"""Embedding bags as what they are: a lookup, and a sum, mean or maximum of it."""

from __future__ import annotations

import operator
from typing import Any

from sdk.models.calls import call_before

SUM, MEAN, MAX = range(3)

LEAST = -1e4
"""Added to what a maximum leaves out: less than any weight, and a number in float16 too (Core ML)."""


def plain_bags(module: Any) -> None:
    """Write `embedding_bag` as `embedding` and a reduction, so that its table is a layer.

    Bags of one length are rows of a matrix; where their beginnings are data, each bag reduces all rows, of which a mask leaves
    its own. A padding index is left out of either. Bags whose counts are read too stay as they are.
    """
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target is not aten.embedding_bag.padding_idx:
            continue
        weight, ids, offsets, _, mode, _, factors, last, padding = node.args[:9]
        (result, *others) = node.users
        if others or result.target is not operator.getitem or result.args[1] != 0:
            continue
        count, bag = result.meta["val"].shape[0], None if last else _length(offsets, ids)
        shape = [count, bag] if bag is not None else [1, ids.meta["val"].numel()]

        def rows_of(x: Any, node: Any = node, shape: list[int] = shape) -> Any:
            return call_before(node, aten.reshape.default, x, shape)

        ids = rows_of(ids)
        kept = None if bag is not None else _members(node, offsets, shape[1], last)
        if padding is not None:
            counted = call_before(node, aten.ne.Scalar, ids, padding)
            kept = counted if kept is None else call_before(node, aten.logical_and.default, kept, counted)
        rows = call_before(node, aten.embedding.default, weight, ids)
        rows.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
        if factors is not None:
            factors = call_before(node, aten.unsqueeze.default, rows_of(factors), 2)
            rows = call_before(node, aten.mul.Tensor, rows, factors)
        made = _reduced(node, rows, mode) if kept is None else _reduced_but(node, rows, kept, mode)
        result.replace_all_uses_with(made)
        module.graph.erase_node(result)
        module.graph.erase_node(node)


def _reduced(node: Any, rows: Any, mode: int) -> Any:
    import torch

    aten = torch.ops.aten
    return call_before(node, {SUM: aten.sum.dim_IntList, MEAN: aten.mean.dim, MAX: aten.amax.default}[mode], rows, [1])


def _reduced_but(node: Any, rows: Any, kept: Any, mode: int) -> Any:
    """Reduce the `rows` that `kept` (booleans, bags by rows) says; bags of none are zeros, as in torch."""
    import torch

    aten = torch.ops.aten
    ones = call_before(node, aten._to_copy.default, kept, dtype=rows.meta["val"].dtype)
    mask = call_before(node, aten.unsqueeze.default, ones, 2)
    if mode == MAX:
        low = call_before(node, aten.mul.Scalar, call_before(node, aten.rsub.Scalar, mask, 1), LEAST)
        most = call_before(node, aten.amax.default, call_before(node, aten.add.Tensor, rows, low), [1])
        some = call_before(node, aten.amax.default, ones, [1], True)
        return call_before(node, aten.mul.Tensor, most, some)
    made = call_before(node, aten.sum.dim_IntList, call_before(node, aten.mul.Tensor, rows, mask), [1])
    if mode == SUM:
        return made
    counts = call_before(node, aten.sum.dim_IntList, ones, [1], True)
    return call_before(node, aten.div.Tensor, made, call_before(node, aten.clamp.default, counts, 1))


def _members(node: Any, offsets: Any, length: int, last: bool) -> Any:
    """Which of `length` rows is in which bag: booleans, bags by rows. The `last` offset may be the end of the last bag."""
    import torch

    aten = torch.ops.aten
    begins = call_before(node, aten.unsqueeze.default, offsets, 1)
    dtype = offsets.meta["val"].dtype
    places = call_before(node, aten.arange.default, length, dtype=dtype, device=offsets.meta["val"].device)
    reached = call_before(node, aten.le.Tensor, begins, places)  # the bag has begun
    following = call_before(node, aten.slice.Tensor, reached, 0, 1)
    if last:
        reached = call_before(node, aten.slice.Tensor, reached, 0, 0, -1)
    else:
        never = call_before(node, aten.full.default, [1, length], False, dtype=torch.bool, device=offsets.meta["val"].device)
        following = call_before(node, aten.cat.default, [following, never])
    return call_before(node, aten.logical_and.default, reached, call_before(node, aten.logical_not.default, following))


def _length(offsets: Any, ids: Any) -> int | None:
    """Indices in each bag where the offsets are counted, not given."""
    import torch

    if offsets.op != "call_function" or offsets.target is not torch.ops.aten.arange.start_step:
        return None
    start, end, step = offsets.args[:3]
    return step if start == 0 and end == ids.meta["val"].numel() and step > 0 and end % step == 0 else None
