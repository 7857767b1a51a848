"""Embedding bags of equal length as what they are: a lookup, and a sum, mean or maximum of it."""

from __future__ import annotations

import operator
from typing import Any

SUM, MEAN, MAX = range(3)


def plain_bags(module: Any) -> None:
    """Write `embedding_bag` of bags of one length as `embedding` and a reduction, so that its table is a layer.

    Bags whose lengths are data, that leave out a padding index, or whose counts are read too stay as they are.
    """
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target is not aten.embedding_bag.padding_idx or node.args[8] is not None:
            continue
        weight, ids, offsets, _, mode, _, factors, last = node.args[:8]
        bag = None if last else _length(offsets, ids)
        (result, *others) = node.users
        if bag is None or others or result.target is not operator.getitem or result.args[1] != 0:
            continue
        shape = [ids.meta["val"].numel() // bag, bag]
        with module.graph.inserting_before(node):
            rows = module.graph.call_function(aten.embedding.default, (weight, _call(module, aten.reshape.default, ids, shape)))
            rows.meta.update(node.meta, val=result.meta["val"].new_empty(*shape, result.meta["val"].shape[1]))
            if factors is not None:
                rows = _call(module, aten.mul.Tensor, rows, _call(module, aten.reshape.default, factors, [*shape, 1]))
            reduce = {SUM: aten.sum.dim_IntList, MEAN: aten.mean.dim, MAX: aten.amax.default}[mode]
            made = module.graph.call_function(reduce, (rows, [1]))
            made.meta["val"] = result.meta["val"]
        result.replace_all_uses_with(made)
        module.graph.erase_node(result)
        module.graph.erase_node(node)


def _call(module: Any, target: Any, node: Any, other: Any) -> Any:
    made = module.graph.call_function(target, (node, other))
    made.meta["val"] = node.meta["val"].reshape(other) if isinstance(other, list) else node.meta["val"]
    return made


def _length(offsets: Any, ids: Any) -> int | None:
    """Indices in each bag where the offsets are counted, not given."""
    import torch

    if offsets.op != "call_function" or offsets.target is not torch.ops.aten.arange.start_step:
        return None
    start, end, step = offsets.args[:3]
    return step if start == 0 and end == ids.meta["val"].numel() and step > 0 and end % step == 0 else None
