"""Rewrites single operators of a graph that coremltools converts wrongly or not at all, each exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from targets.coreml import elementary, recurrent

Rule = Callable[[Any, dict[str, Any]], None]


def rewrite(module: Any, values: dict[str, Any], cached: bool = False) -> None:
    """Apply every rule to its operators in a GraphModule; `values` are the fake tensors by node name.

    Attention that is going to read a cache stays (`cached`): it is written later.
    """
    rules, nodes = {**_rules(), **({} if cached else _attention())}, list(module.graph.nodes)
    fed = {node: [values.get(source.name) for source in node.all_input_nodes] for node in nodes}
    for node in nodes:
        rule = rules.get(node.target) if node.op == "call_function" else None
        if rule is not None:
            written = dict(zip((source.name for source in node.all_input_nodes), fed[node], strict=True))
            with module.graph.inserting_before(node):
                rule(node, values | written)


def rewritten() -> frozenset[Any]:
    """Operators that must reach `rewrite` undecomposed."""
    return frozenset({**_rules(), **_attention()})


def _rules() -> dict[Any, Rule]:
    import torch

    aten = torch.ops.aten
    return {
        **recurrent.rules(),
        **dict.fromkeys((aten.max_pool1d.default, aten.max_pool2d.default, aten.avg_pool1d.default, aten.elu.default,
                         aten.max_pool2d_with_indices.default, aten.leaky_relu.default), _fill_defaults),
        aten.avg_pool2d.default: _average,
        aten.where.ScalarOther: _float_scalar,
        aten.where.ScalarSelf: _float_scalar,
        aten.bitwise_or.Tensor: _logical(aten.logical_or.default),
        aten.bitwise_and.Tensor: _logical(aten.logical_and.default),
        aten.bitwise_xor.Tensor: _logical(aten.logical_xor.default),
        aten.trunc.default: elementary.truncated,
        aten.fmod.Scalar: elementary.left_over,
        aten.fmod.Tensor: elementary.left_over,
        aten.div.Tensor_mode: elementary.quotient,
        aten.div.Scalar_mode: elementary.quotient,
        aten.atan2.default: elementary.angle,
        aten.cdist.default: elementary.distances,
    }


def _attention() -> dict[Any, Rule]:
    import torch

    return {torch.ops.aten.scaled_dot_product_attention.default: _grouped}


def _fill_defaults(node: Any, values: dict[str, Any]) -> None:
    """Give operators whose converters count arguments the defaults of their schema."""
    missing = node.target._schema.arguments[len(node.args):]
    node.args = (*node.args, *(node.kwargs.get(a.name, a.default_value) for a in missing))
    node.kwargs = {}
    if "pool" in str(node.target) and not node.args[2]:
        node.update_arg(2, node.args[1])


def _average(node: Any, values: dict[str, Any]) -> None:
    """Average pools that round up: pad explicitly, and correct the averages by a constant."""
    import torch

    _fill_defaults(node, values)
    x, kernel, stride, padding, ceil, counted, divisor = node.args
    shape = tuple(values[x.name].shape)
    out = tuple(values[node.name].shape)
    kernel, stride, padding = (list(v) * (2 // len(v)) for v in (kernel, stride, padding))
    lack = [(o - 1) * s + k - n - 2 * p for o, s, k, n, p in zip(out[-2:], stride, kernel, shape[-2:], padding, strict=True)]
    if not ceil or max(lack) <= 0:
        node.update_arg(4, False)
        return
    module, graph = node.graph.owning_module, node.graph
    borders = [padding[1], padding[1] + max(lack[1], 0), padding[0], padding[0] + max(lack[0], 0)]
    pad, pool = torch.ops.aten.constant_pad_nd.default, node.target
    ones = torch.ones(1, 1, *shape[-2:])
    ratio = pool(ones, kernel, stride, padding, True, counted, divisor) / pool(pad(ones, borders, 0.0), kernel, stride)
    name = f"{node.name}_ratio"
    module.register_buffer(name, ratio)
    padded = graph.call_function(pad, (x, borders, 0.0))
    mean = graph.call_function(pool, (padded, kernel, stride, [0, 0], False, True, None))
    node.replace_all_uses_with(graph.call_function(torch.ops.aten.mul.Tensor, (mean, graph.get_attr(name))))
    graph.erase_node(node)


def _float_scalar(node: Any, values: dict[str, Any]) -> None:
    """Write integers chosen among floats as floats."""
    if values[node.name].is_floating_point():
        node.args = tuple(float(a) if isinstance(a, int) else a for a in node.args)


def _logical(operator: Any) -> Rule:
    """Bit operations on booleans are logical operations."""
    import torch

    def rule(node: Any, values: dict[str, Any]) -> None:
        if values[node.name].dtype == torch.bool:
            node.target = operator

    return rule


def _grouped(node: Any, values: dict[str, Any]) -> None:
    """Attention whose keys and values serve several heads each: they are repeated, which coremltools leaves to the graph."""
    import torch

    if not node.kwargs.get("enable_gqa"):
        return
    aten, call = torch.ops.aten, node.graph.call_function
    query, heads = node.args[0], values[node.args[0].name].shape[-3]
    repeated = [query]
    for each in node.args[1:3]:
        shape = list(values[each.name].shape)
        times = heads // shape[-3]
        wide = call(aten.expand.default, (call(aten.unsqueeze.default, (each, -3)), [*shape[:-2], times, *shape[-2:]]))
        repeated.append(call(aten.reshape.default, (wide, [*shape[:-3], heads, *shape[-2:]])))
    node.args = (*repeated, *node.args[3:])
    node.kwargs = {key: value for key, value in node.kwargs.items() if key != "enable_gqa"}
