"""What asks for an order of numbers, written in operators that runtimes have: `topk` and comparisons."""

from __future__ import annotations

import operator
from typing import Any

from sdk.models.calls import arguments, call_before
from sdk.models.cells import replace_outputs


def plain_orders(module: Any) -> None:
    """Write `sort`, `median` and the like as `topk`; `bucketize`, `searchsorted` in one list and `one_hot` as comparisons.

    A stable sort stays: `topk` promises no order of equal numbers.
    """
    import torch

    aten = torch.ops.aten
    rules = {
        aten.sort.default: _sorted, aten.sort.stable: _sorted, aten.argsort.default: _places, aten.argsort.stable: _places,
        aten.median.dim: _median, aten.kthvalue.default: _kth,
        aten.bucketize.Tensor: _counted, aten.searchsorted.Tensor: _counted, aten.one_hot.default: _one_hot,
    }  # fmt: skip
    for node in list(module.graph.nodes):
        rule = rules.get(node.target) if node.op == "call_function" else None
        made = rule(node, arguments(node)) if rule is not None else None
        if made is not None:
            replace_outputs(node, made)


def _extent(given: dict[str, Any]) -> int:
    shape = given["self"].meta["val"].shape
    return int(shape[given["dim"]]) if shape else 0


def _sorted(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    if given.get("stable") or not _extent(given):
        return None
    made = call_before(node, torch.ops.aten.topk.default, given["self"], _extent(given), given["dim"], given["descending"])
    return tuple(call_before(node, operator.getitem, made, index) for index in range(2))


def _places(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    made = _sorted(node, given)
    return made and made[1:]


def _median(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    return _kth(node, given | {"k": (_extent(given) + 1) // 2})


def _kth(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten = torch.ops.aten
    if not _extent(given):
        return None
    made = call_before(node, aten.topk.default, given["self"], given["k"], given["dim"], False)
    both = [call_before(node, operator.getitem, made, index) for index in range(2)]
    lasts = [call_before(node, aten.select.int, each, given["dim"], given["k"] - 1) for each in both]
    return tuple(call_before(node, aten.unsqueeze.default, last, given["dim"]) if given["keepdim"] else last for last in lasts)


def _counted(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten = torch.ops.aten
    bounds, value = given["boundaries" if "boundaries" in given else "sorted_sequence"], given["self"]
    if bounds.meta["val"].dim() != 1 or given.get("sorter") is not None:
        return None
    beyond = aten.ge.Tensor if given["right"] or given.get("side") == "right" else aten.gt.Tensor
    found = call_before(node, beyond, call_before(node, aten.unsqueeze.default, value, -1), bounds)
    count = call_before(node, aten.sum.dim_IntList, call_before(node, aten._to_copy.default, found, dtype=torch.float32), [-1])
    return (call_before(node, aten._to_copy.default, count, dtype=torch.int32 if given["out_int32"] else torch.int64),)


def _one_hot(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten, count = torch.ops.aten, int(node.meta["val"].shape[-1])
    kinds = call_before(node, aten.arange.default, count, dtype=torch.int64, device=node.meta["val"].device)
    same = call_before(node, aten.eq.Tensor, call_before(node, aten.unsqueeze.default, given["self"], -1), kinds)
    return (call_before(node, aten._to_copy.default, same, dtype=torch.int64),)
