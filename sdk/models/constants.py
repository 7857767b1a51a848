"""Computes beforehand what depends on no input: weights that are made of parameters, and layers that see constants alone."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sdk.models.row_major import in_rows, reshape_views
from sdk.models.stateless import CHANCE


def fold_constants(module: Any) -> None:
    """Store as parameters the weights and biases that a graph makes of parameters, and the outputs of layers fed with constants.

    So a convolution under weight norm and each part of a split projection are layers, and no layer is planned that a converter
    would compute away. A weight that would be larger than what it is made of is left as it is; one made twice is stored once.
    """
    constants = constants_of(module)
    if any(constants[node] for node in constants):
        reshape_views(module)  # attention of constants promises no strides, and what is stored has others
    stored: dict[tuple[Any, ...], Any] = {}
    for node in [each for each in constants if each.op != "get_attr"]:
        layers = [user for user in node.users if user not in constants and _is_layer(user) and node in user.args[1:3]]
        shown = constants[node] and any(user not in constants for user in node.users)
        if not (layers or shown) or not hasattr(node.meta.get("val"), "numel"):
            continue
        behind = _behind(node)
        sources = tuple(dict.fromkeys(each.target for each in behind if each.op == "get_attr"))
        if not sources or (not shown and node.meta["val"].numel() > sum(_tensor(module, name).numel() for name in sources)):
            continue
        name = f"{sources[0].removesuffix('.weight')}_folded" if shown else _name(layers[0], node, sources)
        _store(module, node, name, _evaluate(behind, module), sources, stored)
        for each in reversed(behind[:-1]):
            if not each.users:  # attention counts as impure, so that nobody else takes it out
                module.graph.erase_node(each)


def store_indices(module: Any) -> None:
    """Store the indices of a triangle as a parameter: no runtime counts them."""
    import torch

    aten = torch.ops.aten
    stored: dict[tuple[Any, ...], Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in (aten.triu_indices.default, aten.tril_indices.default):
            _store(module, node, node.name, _evaluate([node], module), (), stored)


def drop_idle_masks(module: Any) -> None:
    """Take constant masks that hide nothing from attention: runtimes would write them out and add them in every inference."""
    import torch

    attention = torch.ops.aten.scaled_dot_product_attention.default
    masked = [node for node in module.graph.nodes if node.target is attention and len(node.args) > 3 and node.args[3] is not None]
    constants = constants_of(module) if masked else {}
    idle = {
        mask for mask in {node.args[3] for node in masked}
        if mask in constants and _hides_nothing(value_of(mask, module))
    }  # fmt: skip
    for node in masked:
        if node.args[3] in idle:
            node.args = (*node.args[:3], None, *node.args[4:])


def _hides_nothing(mask: Any) -> bool:
    """Whether a mask of truth values is true, or one that is added zero, everywhere."""
    import torch

    return bool(mask.all() if mask.dtype == torch.bool else (mask == 0).all())


def _is_layer(node: Any) -> bool:
    """Whether a node is a linear or a convolution."""
    import torch

    from sdk.models.layers import operators

    found = operators().get(node.target) if node.op == "call_function" else None
    linear = found is not None and found[0] in ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
    return linear or node.target is torch.ops.aten.convolution.default


def constants_of(module: Any) -> dict[Any, bool]:
    """Nodes that depend on no input and on no random number, in order, and whether a layer is in what makes them."""
    found: dict[Any, bool] = {}
    for node in module.graph.nodes:
        plain = node.op == "call_function" and getattr(node.target, "__name__", "").split(".")[0] not in CHANCE
        if node.op == "get_attr" or (plain and all(each in found for each in node.all_input_nodes)):
            found[node] = _is_layer(node) or any(found[each] for each in node.all_input_nodes)
    return found


def _behind(node: Any) -> list[Any]:
    """The node and everything that it is made of, in the order of the graph."""
    found, ahead = {node}, [node]
    while ahead:
        new = [each for each in ahead.pop().all_input_nodes if each not in found]
        found.update(new)
        ahead.extend(new)
    return [each for each in node.graph.nodes if each in found]


def _evaluate(nodes: list[Any], module: Any) -> Any:
    """The value of the last of `nodes`, which are all that it is made of."""
    import torch
    from torch.fx.node import map_arg

    values: dict[Any, Any] = {}
    with torch.no_grad():
        for node in nodes:
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            values[node] = _tensor(module, node.target) if node.op == "get_attr" else node.target(*args, **kwargs)
    return values[nodes[-1]]


def value_of(node: Any, module: Any) -> Any:
    """Return the value of a node that depends on no input."""
    return _evaluate(_behind(node), module)


def _tensor(module: Any, name: str) -> Any:
    from sdk.models.rewrite import attribute

    return attribute(module, name)


def _name(reader: Any, node: Any, sources: tuple[str, ...]) -> str:
    """Part of one parameter: its name, numbered; made of several: that of the weight or bias of the module which reads it."""
    from sdk.models.rewrite import owner_of

    if len(sources) == 1 and ".parametrizations." not in sources[0]:
        return f"{sources[0]}_0"
    return f"{owner_of(reader)}.{'weight' if node is reader.args[1] else 'bias'}".removeprefix(".")


def _store(module: Any, node: Any, name: str, value: Any, sources: tuple[str, ...], stored: dict[tuple[Any, ...], Any]) -> None:
    """Put a parameter in the place of a node."""
    from sdk.models.rewrite import new_get_attr

    value = in_rows(value.detach())
    key = (sources, tuple(value.shape), sha256(value.numpy()).digest())
    if key not in stored:
        taken = {*dict(module.named_parameters(remove_duplicate=False)), *dict(module.named_buffers(remove_duplicate=False))}
        stem, count = name.removesuffix("_0"), 0
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        stored[key] = new_get_attr(module, name, value, node)
        stored[key].meta["val"] = in_rows(node.meta["val"])
    node.replace_all_uses_with(stored[key])
    module.graph.erase_node(node)
