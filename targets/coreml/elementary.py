"""Functions that coremltools lacks, or has in a form that fails at its borders, in operators that ML programs have."""

from __future__ import annotations

import math
from typing import Any

LARGEST = 1 << 20
"""Elements of the differences that distances are made of; of more they are made of a product of matrices, as torch makes them."""


def truncated(node: Any, values: dict[str, Any]) -> None:
    """`trunc`: sign(x) * floor(|x|)."""
    import torch

    aten, call, x = torch.ops.aten, node.graph.call_function, node.args[0]
    whole = call(aten.floor.default, (call(aten.abs.default, (x,)),))
    _replace(node, call(aten.mul.Tensor, (call(aten.sign.default, (x,)), whole)))


def left_over(node: Any, values: dict[str, Any]) -> None:
    """`fmod`, whose sign is the dividend's: sign(x) * (|x| mod |y|)."""
    import torch

    aten, call, (x, y) = torch.ops.aten, node.graph.call_function, node.args
    size = call(aten.abs.default, (x,))
    if isinstance(y, int | float):
        rest = call(aten.remainder.Scalar, (size, abs(y)))
    else:
        rest = call(aten.remainder.Tensor, (size, call(aten.abs.default, (y,))))
    _replace(node, call(aten.mul.Tensor, (call(aten.sign.default, (x,)), rest)))


def quotient(node: Any, values: dict[str, Any]) -> None:
    """A quotient of whole numbers without its fraction: coremltools multiplies by the reciprocal, and 3 / 3 is 0 in float16."""
    import torch

    if node.kwargs.get("rounding_mode") != "trunc" or values[node.name].is_floating_point():
        return
    aten, call, (x, y) = torch.ops.aten, node.graph.call_function, node.args
    size, sign = call(aten.abs.default, (x,)), call(aten.sign.default, (x,))
    if isinstance(y, int | float):
        found, flip = call(aten.floor_divide.default, (size, abs(y))), y < 0
    else:
        found, flip = call(aten.floor_divide.default, (size, call(aten.abs.default, (y,)))), False
        sign = call(aten.mul.Tensor, (sign, call(aten.sign.default, (y,))))
    made = call(aten.mul.Tensor, (sign, found))
    _replace(node, call(aten.neg.default, (made,)) if flip else made)


def angle(node: Any, values: dict[str, Any]) -> None:
    """`atan2`: that of the smaller by the larger side, put into its eighth of the circle.

    coremltools' own is 0 instead of pi where y is 0 and x below, and no number in float16 where both are 0.
    """
    import torch

    aten, call, (y, x) = torch.ops.aten, node.graph.call_function, node.args
    high, wide = call(aten.abs.default, (y,)), call(aten.abs.default, (x,))
    larger = call(aten.maximum.default, (high, wide))
    nothing = call(aten.eq.Scalar, (larger, 0.0))
    ratio = call(aten.div.Tensor, (call(aten.minimum.default, (high, wide)), call(aten.where.ScalarSelf, (nothing, 1.0, larger))))
    found = call(aten.atan.default, (ratio,))
    steep = call(aten.rsub.Scalar, (found, math.pi / 2))
    found = call(aten.where.self, (call(aten.gt.Tensor, (high, wide)), steep, found))
    behind = call(aten.rsub.Scalar, (found, math.pi))
    found = call(aten.where.self, (call(aten.lt.Scalar, (x, 0.0)), behind, found))
    below = call(aten.neg.default, (found,))
    _replace(node, call(aten.where.self, (call(aten.lt.Scalar, (y, 0.0)), below, found)))


def distances(node: Any, values: dict[str, Any]) -> None:
    """`cdist` by 1, 2 or infinity from the differences themselves: float16 leaves little of those of squares.

    Others, and those of more than `LARGEST` elements, are left to torch's own decomposition.
    """
    import torch

    aten, call, (x, y, *more) = torch.ops.aten, node.graph.call_function, node.args
    power = float(more[0]) if more else float(node.kwargs.get("p", 2.0))
    made, width = values[node.name], values[x.name].shape[-1]
    if power not in (1.0, 2.0, math.inf) or made.numel() * width > LARGEST:
        return
    apart = call(aten.sub.Tensor, (call(aten.unsqueeze.default, (x, -2)), call(aten.unsqueeze.default, (y, -3))))
    if power == 2.0:
        squares = call(aten.sum.dim_IntList, (call(aten.mul.Tensor, (apart, apart)), [-1]))
        _replace(node, call(aten.sqrt.default, (squares,)))
        return
    sizes = call(aten.abs.default, (apart,))
    _replace(node, call(aten.sum.dim_IntList if power == 1.0 else aten.amax.default, (sizes, [-1])))


def _replace(node: Any, made: Any) -> None:
    node.replace_all_uses_with(made)
    node.graph.erase_node(node)
