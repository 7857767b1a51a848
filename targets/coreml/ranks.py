"""Keeps tensors within the five axes of Core ML: those of more lose their first one, where it is a batch of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sdk.models.calls import arguments, call_before

MOST = 5
"""Most axes of a tensor in an ML program."""


def within_rank(graph: Any) -> None:
    """Write operators on tensors of too many axes without the first axis, in place.

    Tensors that are only reshaped and reordered are left to coremltools, as is what has no rule here.
    """
    nodes = [node for node in graph.nodes if node.op == "call_function"]
    if all(_kind(node) in _REORDERED for node in nodes if _wide(node)):
        return
    for node in nodes:
        wide = [each for each in (node, *node.all_input_nodes) if _wide(each)]
        if wide and all(each.meta["val"].shape[0] == 1 for each in wide):
            _narrow(node)
    graph.eliminate_dead_code()


def _narrow(node: Any) -> None:
    """Replace `node` by what its rule makes, whose elements are the same."""
    made = _rule(node)(node)
    if made is not None:
        whole = call_before(node, _reshape(), made, list(node.meta["val"].shape))
        node.replace_all_uses_with(whole)
        node.graph.erase_node(node)
        whole.name = node.name  # signatures name outputs


def _wide(node: Any) -> bool:
    return getattr(node.meta.get("val"), "ndim", 0) > MOST


def _kind(node: Any) -> str:
    return getattr(node.target, "__name__", "").partition(".")[0]


def _reshape() -> Any:
    import torch

    return torch.ops.aten.reshape.default


def _without(node: Any, before: Any) -> Any:
    """A tensor without its first axis."""
    shape = list(node.meta["val"].shape)[1:]
    if node.target is _reshape() and list(node.args[0].meta["val"].shape) == shape:
        return node.args[0]
    return call_before(before, _reshape(), node, shape)


def _reshaped(node: Any) -> Any:
    source, shape = node.args[0], list(node.meta["val"].shape)
    return call_before(node, _reshape(), _without(source, node) if _wide(source) else source, shape[1:] if _wide(node) else shape)


def _pointwise(node: Any) -> Any:
    """Operands of fewer axes are aligned with the last ones anyway."""
    from torch.fx.node import map_arg

    args, kwargs = map_arg((node.args, node.kwargs), lambda each: _without(each, node) if _wide(each) else each)
    return call_before(node, node.target, *args, **kwargs)


def _along(*names: str) -> Callable[[Any], Any]:
    """A rule for operators whose arguments `names` are axes, none the first."""

    def rule(node: Any) -> Any:
        given = arguments(node)
        first = next(iter(given.values()))
        operands = first if isinstance(first, list | tuple) else [first]
        for name in names:
            rank = operands[0].meta["val"].ndim + (_kind(node) == "stack")
            axes = [axis % rank for axis in (given[name] if isinstance(given[name], list | tuple) else [given[name]])]
            if 0 in axes:
                return None
            given[name] = [axis - 1 for axis in axes] if isinstance(given[name], list | tuple) else axes[0] - 1
        cut = [_without(each, node) for each in operands]
        named = {each.name: given.pop(each.name) for each in node.target._schema.arguments if each.kwarg_only}
        return call_before(node, node.target, cut if first is not operands[0] else cut[0], *list(given.values())[1:], **named)

    return rule


def _permuted(node: Any) -> Any:
    order = [axis % len(node.args[1]) for axis in node.args[1]]
    if order[0]:
        return None
    return call_before(node, node.target, _without(node.args[0], node), [axis - 1 for axis in order[1:]])


_REORDERED = frozenset({"view", "reshape", "_unsafe_view", "unflatten", "permute", "transpose", "clone", "contiguous"})


@cache
def _rules() -> dict[str, Callable[[Any], Any]]:
    shapes = ("view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "flatten", "unflatten")
    along = ("select", "slice", "cat", "concat", "stack", "softmax", "_softmax", "sum", "mean")
    return {**dict.fromkeys(shapes, _reshaped), **dict.fromkeys(along, _along("dim")),
            "transpose": _along("dim0", "dim1"), "permute": _permuted}


def _rule(node: Any) -> Callable[[Any], Any]:
    import torch

    plain = torch.Tag.pointwise in getattr(node.target, "tags", ())
    return _rules().get(_kind(node), _pointwise if plain else lambda node: None)
