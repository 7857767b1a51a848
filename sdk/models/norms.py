"""Batch norms of inference: within the layer in front of them where they can be, else a product and a sum."""

from __future__ import annotations

import operator
from typing import Any


def fold_batch_norm(module: Any) -> None:
    """Fold an inference batch norm into the convolution or linear in front of it (float64 arithmetic)."""
    import torch

    from sdk.models.rewrite import attribute

    aten = torch.ops.aten
    norms = {aten._native_batch_norm_legit_no_training.default: 6, aten.batch_norm.default: 7}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in norms:
            continue
        producer, gamma, beta, mean, var = node.args[:5]
        axis = _foldable(producer)
        if axis is None or len(producer.users) != 1 or len(producer.args[1].users) != 1:
            continue
        result = _only_result(node)
        if result is None:
            continue
        values = [None if n is None else attribute(module, n.target).double() for n in (gamma, beta, mean, var)]
        _fold(module, producer, axis, values, float(node.args[norms[node.target]]))
        result.replace_all_uses_with(producer)


def _foldable(node: Any) -> int | None:
    """Axis of the output channels in the weight of a convolution or linear with a constant weight, else None."""
    import torch

    aten = torch.ops.aten
    axes = {aten.conv1d.default: 0, aten.conv2d.default: 0, aten.conv1d.padding: 0, aten.conv2d.padding: 0,
            aten.conv3d.default: 0, aten.linear.default: 0, aten.conv_transpose1d.default: 1, aten.conv_transpose2d.input: 1}
    axis = axes.get(node.target) if node.op == "call_function" else None
    if axis is None or node.args[1].op != "get_attr":
        return None
    if axis == 1 and len(node.args) > 6 and node.args[6] != 1:
        return None  # a grouped transposed convolution orders its output channels by group
    bias = node.args[2] if len(node.args) > 2 else None
    return axis if bias is None or bias.op == "get_attr" else None


def _only_result(node: Any) -> Any:
    """The node that carries the normalised tensor (getitem 0 of a tuple), or None when statistics are used."""
    import torch

    if node.target is torch.ops.aten.batch_norm.default:
        return node
    users = list(node.users)
    if len(users) == 1 and users[0].target is operator.getitem and users[0].args[1] == 0:
        return users[0]
    return None


def _fold(module: Any, producer: Any, axis: int, values: list[Any], eps: float) -> None:
    import torch

    from sdk.models.rewrite import attribute, new_get_attr, set_tensor

    gamma, beta, mean, var = values
    scale = torch.rsqrt(var + eps) * (1.0 if gamma is None else gamma)
    weight_name = producer.args[1].target
    weight = attribute(module, weight_name)
    bias_node = producer.args[2] if len(producer.args) > 2 else None
    old = torch.zeros_like(mean) if bias_node is None else attribute(module, bias_node.target).double()
    bias = (old - mean) * scale + (0.0 if beta is None else beta)
    shape = [1] * weight.dim()
    shape[axis] = -1
    set_tensor(module, weight_name, (weight.double() * scale.reshape(shape)).float())
    name = (bias_node.target if bias_node is not None and len(bias_node.users) == 1
            else f"{weight_name.removesuffix('.weight')}.folded_bias" if bias_node is not None
            else f"{weight_name.removesuffix('.weight')}.bias" if weight_name.endswith(".weight")
            else f"{weight_name}_bias")
    made = new_get_attr(module, name, bias.float(), producer)
    producer.args = (*producer.args[:2], made, *producer.args[3:])


def affine_batch_norm(module: Any) -> None:
    """Write an inference batch norm that could not be folded as a product and a sum: backends know it behind convolutions."""
    import torch

    from sdk.models.rewrite import attribute, new_get_attr

    aten = torch.ops.aten
    norms = {aten._native_batch_norm_legit_no_training.default: 6, aten.batch_norm.default: 7}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in norms or not node.users:
            continue
        result, source = _only_result(node), node.args[0]
        if result is None or "val" not in source.meta or any(n is not None and n.op != "get_attr" for n in node.args[1:5]):
            continue
        gamma, beta = (None if n is None else attribute(module, n.target).double() for n in node.args[1:3])
        mean, var = (attribute(module, n.target).double() for n in node.args[3:5])
        scale = torch.rsqrt(var + float(node.args[norms[node.target]])) * (1.0 if gamma is None else gamma)
        shift = (0.0 if beta is None else beta) - mean * scale
        shape = [-1] + [1] * (source.meta["val"].dim() - 2)
        value = source
        for word, target, factor in (("scale", aten.mul.Tensor, scale), ("shift", aten.add.Tensor, shift)):
            made = new_get_attr(module, f"{node.args[3].target}_{word}", factor.float().reshape(shape), node)
            with module.graph.inserting_before(node):
                value = module.graph.call_function(target, (value, made))
            value.meta["val"] = source.meta["val"]
        result.replace_all_uses_with(value)
