"""Assignments to parts of tensors (`y[:, 0] = 0`, `y[y < 0] = 0`) in operators that have derivatives and that runtimes know."""

from __future__ import annotations

from typing import Any


def plain_assignments(module: Any) -> None:
    """Write `copy` and `fill` as the value expanded, and an `index_put` of one value under a mask as `where`."""
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
