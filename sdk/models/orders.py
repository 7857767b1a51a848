"""What asks for an order of numbers, written in operators that runtimes have: `topk` and comparisons."""

from __future__ import annotations

import operator
from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import Rule, replace_calls


def plain_orders(module: Any) -> None:
    """Write `sort`, `median`, `quantile` and the like as `topk`; `bucketize`, `searchsorted` in one list and `one_hot` as
    comparisons.

    A stable sort whose places are read stays: `topk` promises no order of equal numbers.
    """
    import torch

    aten = torch.ops.aten
    rules: dict[Any, Rule] = {
        aten.sort.default: _sorted, aten.sort.stable: _sorted, aten.argsort.default: _places, aten.argsort.stable: _places,
        aten.median.dim: _median, aten.kthvalue.default: _kth,
        aten.quantile.scalar: _quantile, aten.quantile.default: _quantile,
        aten.bucketize.Tensor: _counted, aten.searchsorted.Tensor: _counted, aten.one_hot.default: _one_hot,
    }  # fmt: skip
    replace_calls(module, rules)


def _extent(given: dict[str, Any]) -> int:
    shape = given["self"].meta["val"].shape
    return int(shape[given["dim"]]) if shape else 0


def _sorted(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    if (given.get("stable") and _places_are_read(node)) or not _extent(given):
        return None
    made = call_before(node, torch.ops.aten.topk.default, given["self"], _extent(given), given["dim"], given["descending"])
    return tuple(call_before(node, operator.getitem, made, index) for index in range(2))


def _places_are_read(node: Any) -> bool:
    outputs = [user for user in node.users if user.target is operator.getitem]
    return not outputs or any(user.args[1] == 1 and user.users for user in outputs)


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


def _quantile(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """The two sorted elements beside each rank, and what is between them."""
    import torch

    aten, value, axis = torch.ops.aten, given["self"], given["dim"]
    like = value.meta["val"]
    wanted = given["q"] if isinstance(given["q"], float) else _constant(node, given["q"])
    if wanted is None or not like.dim() or (axis is None and given["keepdim"]):
        return None
    if axis is None:
        value, axis = call_before(node, aten.reshape.default, value, [-1]), 0
    extent = int(value.meta["val"].shape[axis])
    ranks = torch.as_tensor(wanted, dtype=torch.float32) * (extent - 1)
    rounded = {
        "lower": ranks.floor(), "higher": ranks.ceil(), "nearest": ranks.round(), "midpoint": (ranks.floor() + ranks.ceil()) / 2,
    }  # fmt: skip
    ranks = rounded.get(given["interpolation"], ranks)
    made = call_before(node, aten.topk.default, value, int(ranks.max().ceil()) + 1, axis, False)
    ordered, found = call_before(node, operator.getitem, made, 0), []
    for rank in ranks.reshape(-1).tolist():
        low = part = call_before(node, aten.select.int, ordered, axis, int(rank))
        if rank % 1:
            beside = call_before(node, aten.sub.Tensor, call_before(node, aten.select.int, ordered, axis, int(rank) + 1), low)
            part = call_before(node, aten.add.Tensor, low, call_before(node, aten.mul.Tensor, beside, rank % 1))
        found.append(call_before(node, aten.unsqueeze.default, part, axis) if given["keepdim"] else part)
    return (call_before(node, aten.stack.default, found, 0) if ranks.dim() else found[0],)


def _constant(node: Any, value: Any) -> Any:
    """What a node that names a tensor of the module holds, None of any other."""
    return operator.attrgetter(value.target)(node.graph.owning_module) if value.op == "get_attr" else None


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
