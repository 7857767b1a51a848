"""Assignments to parts of tensors (`y[:, 0] = 0`, `y[y < 0] = 0`) in operators that have derivatives and that runtimes know."""

from __future__ import annotations

import math
from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import replace_calls

LARGEST = 1 << 22
"""Pairs of a row and a place that are compared; what needs more stays as it is."""


def plain_assignments(module: Any) -> None:
    """Write `copy` and `fill` as the value expanded, an `index_put` of one value under a mask as `where`, and one at places
    that are data, an `index_copy` and a `scatter` over one axis (up to LARGEST pairs of a row and a place) as the rows picked
    of what is put."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in (aten.copy.default, aten.fill.Tensor):
            _expanded(module, node)
        elif node.target is aten.fill.Scalar:
            like = node.meta["val"]
            node.target, node.args, node.kwargs = aten.full.default, (list(like.shape), node.args[1]), {"dtype": like.dtype}
        elif node.target is aten.index_put.default:
            _chosen(module, node)
    replace_calls(module, {
        aten.index_put.default: _placed, aten.index_copy.default: _copied,
        aten.scatter.src: _scattered, aten.scatter.value: _scattered,
    })  # fmt: skip


def _value(node: Any, module: Any) -> Any:
    """The tensor, fake or real, that stands behind a node."""
    from sdk.models.rewrite import attribute

    return attribute(module, node.target) if node.op == "get_attr" else node.meta["val"]


def _put(module: Any, node: Any, target: Any, args: tuple[Any, ...], value: Any) -> Any:
    """A call in front of `node`, with the fake tensor that it gives."""
    with module.graph.inserting_before(node):
        made = module.graph.call_function(target, args)
    made.meta["val"] = value
    return made


def _expanded(module: Any, node: Any) -> None:
    import torch

    like, source = node.meta["val"], node.args[1]
    given = _value(source, module)
    if given.dtype != like.dtype:
        source = _put(module, node, torch.ops.aten.to.dtype, (source, like.dtype), torch.empty_like(given, dtype=like.dtype))
    if tuple(given.shape) != tuple(like.shape):
        source = _put(module, node, torch.ops.aten.expand.default, (source, list(like.shape)), like)
    node.replace_all_uses_with(source)
    module.graph.erase_node(node)


def _chosen(module: Any, node: Any) -> None:
    import torch

    aten = torch.ops.aten
    target, indices, given = node.args[:3]
    if len(indices) != 1 or indices[0] is None or any(node.args[3:]) or _value(given, module).numel() != 1:
        return
    (mask,) = indices
    marks, like = _value(mask, module), node.meta["val"]
    if marks.dtype != torch.bool:
        return
    if marks.dim() < like.dim():
        shape = [*marks.shape, *[1] * (like.dim() - marks.dim())]
        mask = _put(module, node, aten.reshape.default, (mask, shape), marks.reshape(shape))
    if _value(given, module).dim():
        given = _put(module, node, aten.reshape.default, (given, []), _value(given, module).reshape(()))
    node.target, node.args, node.kwargs = aten.where.self, (mask, given, target), {}


def _placed(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """Rows at places of the first axes, as Informer's attention puts them: each takes the last value put there, or stays."""
    import torch

    aten, held, values = torch.ops.aten, given["self"], given["values"]
    indices, shape = list(given["indices"]), list(held.meta["val"].shape)
    if len(indices) > 1 and not any(indices[:-1]) and not given["accumulate"]:
        places = _value(indices[-1], node.graph.owning_module)
        if places.dim() != 1:
            return None
        axis = len(indices) - 1
        source = call_before(node, aten.expand.default, values, [*shape[:axis], len(places), *shape[axis + 1 :]])
        return _copied(node, {"self": held, "dim": axis, "index": indices[-1], "source": source})
    kinds = [None if each is None else _value(each, node.graph.owning_module).dtype for each in indices]
    if given["accumulate"] or not all(kind in (torch.int32, torch.int64) for kind in kinds):
        return None
    count, rest = math.prod(shape[: len(indices)]), shape[len(indices) :]
    sizes = torch.broadcast_shapes(*(_value(each, node.graph.owning_module).shape for each in indices))
    if count * math.prod(sizes) > LARGEST:
        return None
    row: Any = None
    for place, size in zip(indices, shape, strict=False):
        within = _from_start(node, place, size)
        row = within if row is None else call_before(node, aten.add.Tensor, call_before(node, aten.mul.Tensor, row, size), within)
    row = call_before(node, aten.reshape.default, call_before(node, aten.expand.default, row, list(sizes)), [-1])
    put = call_before(node, aten.expand.default, values, [*sizes, *rest])
    put = call_before(node, aten.reshape.default, put, [math.prod(sizes), -1])
    taken, number = _last(node, row, count, math.prod(sizes))
    picked = call_before(node, aten.reshape.default, call_before(node, aten.index_select.default, put, 0, number), shape)
    ones = [*shape[: len(indices)], *[1] * len(rest)]
    taken = call_before(node, aten.reshape.default, taken, ones)
    return (call_before(node, aten.where.self, taken, picked, held),)


def _scattered(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """Elements at places of one axis, as experts' shares are put: each takes the last value that is put there, or stays."""
    import torch

    aten, held, index = torch.ops.aten, given["self"], given["index"]
    like, places = held.meta["val"], _value(index, node.graph.owning_module)
    source = given.get("src")
    if not like.dim() or places.dim() != like.dim() or (source is not None and source.meta["val"].shape != places.shape):
        return None
    axis = given["dim"] % like.dim()
    shape, (size, count) = list(like.shape), (like.shape[axis], places.shape[axis])
    if [*shape[:axis], count, *shape[axis + 1 :]] != list(places.shape) or like.numel() * count > LARGEST:
        return None
    index = call_before(node, aten.unsqueeze.default, call_before(node, aten.transpose.int, index, axis, -1), -2)
    taken, number = (call_before(node, aten.transpose.int, each, axis, -1) for each in _last(node, index, size, count))
    if source is None:
        return (call_before(node, aten.where.ScalarSelf, taken, given["value"], held),)
    return (call_before(node, aten.where.self, taken, call_before(node, aten.gather.default, source, axis, number), held),)


def _copied(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """Rows at places of one axis, as keys and values are put into a cache: each is the last that is put there, or stays."""
    import torch

    aten, held, index = torch.ops.aten, given["self"], given["index"]
    like, places = held.meta["val"], _value(index, node.graph.owning_module)
    if not like.dim() or places.dim() != 1 or places.dtype not in (torch.int32, torch.int64):
        return None
    axis = given["dim"] % like.dim()
    size, count = like.shape[axis], len(places)
    if size * count > LARGEST:
        return None
    taken, number = _last(node, _from_start(node, index, size), size, count)
    picked = call_before(node, aten.index_select.default, given["source"], axis, number)
    taken = call_before(node, aten.view.default, taken, [-1, *[1] * (like.dim() - axis - 1)])
    return (call_before(node, aten.where.self, taken, picked, held),)


def _from_start(node: Any, places: Any, size: int) -> Any:
    """Places of an axis of `size` counted from its start, where those below zero are counted from its end."""
    import torch

    aten = torch.ops.aten
    from_end = call_before(node, aten.lt.Scalar, places, 0)
    return call_before(node, aten.where.self, from_end, call_before(node, aten.add.Tensor, places, size), places)


def _last(node: Any, places: Any, size: int, count: int) -> tuple[Any, Any]:
    """Whether each of `size` rows is among `count` places [..., count], and which is the last there, or 0."""
    import torch

    aten, device = torch.ops.aten, node.meta["val"].device
    rows, numbers = (
        call_before(node, aten.arange.start, *ends, dtype=torch.int64, device=device) for ends in ((0, size), (1, count + 1))
    )
    same = call_before(node, aten.eq.Tensor, call_before(node, aten.unsqueeze.default, rows, 1), places)
    last = call_before(node, aten.amax.default, call_before(node, aten.where.ScalarOther, same, numbers, 0), [-1])
    taken = call_before(node, aten.gt.Scalar, last, 0)
    return taken, call_before(node, aten.where.ScalarOther, taken, call_before(node, aten.sub.Tensor, last, 1), 0)
