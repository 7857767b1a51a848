"""Sums that runtimes lack in one piece: at given places, those of a deviation and a mean together, and cosines."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import Rule, replace_calls

LARGEST = 1 << 22
"""Elements of a matrix of places; what needs a larger one stays as it is."""


def plain_sums(module: Any) -> None:
    """Write `std_mean` and `var_mean` as their two parts, `index_add` as a product with a matrix of zeros and ones, and
    `cosine_similarity` as the sum of the products of both sides over their norms."""
    import torch

    aten = torch.ops.aten
    rules: dict[Any, Rule] = {
        aten.std_mean.dim: _moments, aten.std_mean.correction: _moments, aten.std_mean.default: _moments,
        aten.var_mean.dim: _moments, aten.var_mean.correction: _moments, aten.var_mean.default: _moments,
        aten.index_add.default: _added, aten.cosine_similarity.default: _cosine,
    }  # fmt: skip
    replace_calls(module, rules)


def _moments(node: Any, given: dict[str, Any]) -> tuple[Any, ...]:
    import torch

    aten = torch.ops.aten
    spread = aten.std.correction if "std" in str(node.target) else aten.var.correction
    value, keep = given["self"], given.get("keepdim", False)
    axes = given.get("dim") or list(range(value.meta["val"].dim()))
    correction = given["correction"] if "correction" in given else int(given["unbiased"])
    spread = call_before(node, spread, value, axes, correction=1 if correction is None else correction, keepdim=keep)
    return spread, call_before(node, aten.mean.dim, value, axes, keep)


def _cosine(node: Any, given: dict[str, Any]) -> tuple[Any, ...]:
    """Each side is over its own norm, as in torch: the product of two small norms may be no number that half precision has."""
    import torch

    aten, values = torch.ops.aten, (given["x1"], given["x2"])
    shape = torch.broadcast_shapes(*(value.meta["val"].shape for value in values))
    axes, sides = [given["dim"] % len(shape)], []
    for value in values:
        for _ in range(len(shape) - value.meta["val"].dim()):  # so that the axis is the same of both
            value = call_before(node, aten.unsqueeze.default, value, 0)
        if value.meta["val"].shape[axes[0]] != shape[axes[0]]:
            value = call_before(node, aten.expand.default, value, list(shape))
        norm = call_before(node, aten.linalg_vector_norm.default, value, 2, axes, True)
        sides.append(call_before(node, aten.div.Tensor, value, call_before(node, aten.clamp_min.default, norm, given["eps"])))
    return (call_before(node, aten.sum.dim_IntList, call_before(node, aten.mul.Tensor, *sides), axes),)


def _added(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten = torch.ops.aten
    held, source, places = given["self"], given["source"], given["index"]
    like = held.meta["val"]
    if not like.dim() or not places.meta["val"].dim() or not like.is_floating_point():
        return None
    axis, count = given["dim"] % like.dim(), int(like.shape[given["dim"]])
    if count * places.meta["val"].numel() > LARGEST:
        return None
    order = [axis, *(each for each in range(like.dim()) if each != axis)]
    turned = call_before(node, aten.permute.default, source, order)
    rows = call_before(node, aten.reshape.default, turned, [turned.meta["val"].shape[0], -1])
    kinds = call_before(node, aten.arange.default, count, dtype=places.meta["val"].dtype, device=like.device)
    same = call_before(node, aten.eq.Tensor, call_before(node, aten.unsqueeze.default, kinds, 1), places)
    product = call_before(node, aten.mm.default, call_before(node, aten._to_copy.default, same, dtype=like.dtype), rows)
    parts = call_before(node, aten.reshape.default, product, [count, *turned.meta["val"].shape[1:]])
    back = call_before(node, aten.permute.default, parts, [order.index(each) for each in range(like.dim())])
    if given["alpha"] != 1:
        back = call_before(node, aten.mul.Tensor, back, given["alpha"])
    return (call_before(node, aten.add.Tensor, held, back),)
