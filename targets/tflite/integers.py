"""Writes functions of whole numbers that the format has of floats or of 32 bits alone in ones that it has of 64, exactly."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import Rule, replace_calls

MOST = 8
"""The largest exponent that is written as products."""

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def plain_integers(module: Any) -> None:
    """Write the sign, the magnitude, small powers and the place of the largest or least of whole numbers as bounds, products and
    comparisons, in place; a diagonal too, which the converter counts with an operator that no runtime has. Comparisons and bounds
    of 8 and 16 bits are of 32: the converter takes none but the equality of bytes, which ends the process that runs it.
    Counting is done in 32 bits as well: the converter makes all other whole numbers so, and joins no two types."""
    import torch

    aten = torch.ops.aten
    rules: dict[Any, Rule] = {aten.sign.default: _sign, aten.abs.default: _magnitude, aten.pow.Tensor_Scalar: _power,
                              aten.argmax.default: _place, aten.argmin.default: _place,
                              aten.eye.default: _diagonal, aten.eye.m: _diagonal, aten.arange.default: _counted,
                              aten.arange.start: _counted, aten.arange.start_step: _counted}
    compared = {getattr(getattr(aten, name), kind) for name in COMPARISONS for kind in ("Tensor", "Scalar")}
    bounds = (aten.maximum.default, aten.minimum.default, aten.amax.default, aten.amin.default)
    replace_calls(module, rules | dict.fromkeys((*compared, *bounds), _widened))


def _whole(node: Any) -> bool:
    """Whether a node is a tensor of whole numbers that may be negative."""
    value = node.meta.get("val")
    return value is not None and not value.is_floating_point() and str(value.dtype).startswith("torch.int")


def _sign(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    return (call_before(node, torch.ops.aten.clamp.default, given["self"], -1, 1),) if _whole(given["self"]) else None


def _magnitude(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    if not _whole(given["self"]):
        return None
    below = call_before(node, torch.ops.aten.neg.default, given["self"])
    return (call_before(node, torch.ops.aten.maximum.default, given["self"], below),)


def _power(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    base, exponent = given["self"], given["exponent"]
    if not _whole(base) or not isinstance(exponent, int) or not 1 < exponent <= MOST:
        return None
    made = base
    for _ in range(exponent - 1):
        made = call_before(node, torch.ops.aten.mul.Tensor, made, base)
    return (made,)


def _place(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """The first place that holds the largest (or least) number, as 32 bits that say so."""
    import torch

    aten, values, axis = torch.ops.aten, given["self"], given["dim"]
    if not _whole(values) or not values.meta["val"].dim():
        return None
    if axis is None:
        if given["keepdim"]:
            return None
        values, axis = call_before(node, aten.reshape.default, values, [-1]), 0
    most = aten.amax if node.target is aten.argmax.default else aten.amin
    bound = call_before(node, most.default, values, [axis], True)
    same = call_before(node, aten._to_copy.default, call_before(node, aten.eq.Tensor, values, bound), dtype=torch.int32)
    return (call_before(node, aten.argmax.default, same, axis, given["keepdim"]),)


def _diagonal(node: Any, given: dict[str, Any]) -> tuple[Any, ...]:
    """Ones where the number of the row is that of the column."""
    import torch

    aten, made = torch.ops.aten, node.meta["val"]
    rows, columns = (call_before(node, aten.arange.default, size, dtype=torch.int32, device=made.device) for size in made.shape)
    same = call_before(node, aten.eq.Tensor, call_before(node, aten.unsqueeze.default, rows, 1), columns)
    return (call_before(node, aten._to_copy.default, same, dtype=made.dtype),)


def _counted(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """The numbers counted in 32 bits, which a cast calls what they were."""
    import torch

    if node.meta["val"].dtype != torch.int64:
        return None
    ends = [given[name] for name in ("start", "end", "step") if name in given]
    counted = call_before(node, node.target, *ends, dtype=torch.int32, device=node.meta["val"].device)
    return (call_before(node, torch.ops.aten._to_copy.default, counted, dtype=torch.int64),)


def _widened(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    """The same call of numbers of 32 bits; its result has its own type."""
    import torch

    narrow, made = (torch.uint8, torch.int8, torch.int16), node.meta["val"]
    if not any(each.meta["val"].dtype in narrow for each in node.all_input_nodes):
        return None
    wide = {each: call_before(node, torch.ops.aten._to_copy.default, each, dtype=torch.int32) for each in node.all_input_nodes
            if each.meta["val"].dtype in narrow}
    found = call_before(node, node.target, *(wide.get(value, value) if isinstance(value, torch.fx.Node) else value
                                             for value in given.values()))
    if made.dtype in narrow:
        found = call_before(node, torch.ops.aten._to_copy.default, found, dtype=made.dtype)
    return (found,)
