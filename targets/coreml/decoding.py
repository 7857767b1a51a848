"""Gives a language model's graph a key-value cache and any number of tokens, in the form that Core ML's states take."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from sdk.errors import LoweringError
from sdk.models.language import Language

TOKENS, MASK, KEYS, VALUES, LOGITS = "inputIds", "causalMask", "keyCache", "valueCache", "logits"
"""Names of the package's inputs, states and output: those of Apple's own stateful language models."""

FORBIDDEN = -3.0e4
"""What the mask holds where a token must not look: within float16, and nothing is left of it in a softmax."""


def with_cache(module: Any, language: Language) -> tuple[Any, ...]:
    """Change a GraphModule of `tokens [1, window]` into one of `tokens, mask` with two buffers; return its example inputs.

    `mask` [1, 1, n, end] is added to the attention's scores; the n tokens stand at the positions before `end`. The keys and
    values of `language.context` tokens of every layer stay in the buffers KEYS and VALUES, [layers, heads, context, dim].
    Nothing depends on the extent `window`. LoweringError when the attention is not the plain causal one.
    """
    import torch
    from torch.fx.graph import CodeGen

    operators()
    mask = _mask(module.graph)
    _positions(module, language, mask)
    _any_count(module.graph, language)
    _attention(module, language, mask)
    module.graph.eliminate_dead_code()
    module.graph.set_codegen(CodeGen())
    module._forward_pre_hooks.clear()  # they check the signature, which has one input more now
    module.recompile()
    return torch.ones(1, language.window, dtype=torch.int64), torch.zeros(1, 1, language.window, language.context)


def as_kept(module: Any, language: Language, planned: set[str]) -> None:
    """Make a plain GraphModule of tokens [1, window] compute as the package does.

    Keys and values are rounded to float16 in front of each attention, as the cache holds them; what depends on positions
    or constants alone, other than `planned` weights, becomes buffers.
    """
    import torch

    from targets.coreml.prepare import fold_constants

    graph = module.graph
    _tabulate(module, language, language.window, next(n for n in graph.nodes if n.op == "placeholder"), lambda table, axis: table)
    for node in _calls(graph, torch.ops.aten.scaled_dot_product_attention.default):
        with graph.inserting_before(node):
            for place in (1, 2):
                half = graph.call_function(torch.ops.aten.to.dtype, (node.args[place], torch.float16))
                node.update_arg(place, graph.call_function(torch.ops.aten.to.dtype, (half, torch.float32)))
    fold_constants(module, planned)
    module.recompile()


@cache
def operators() -> Any:
    """The operators that stand for a cache, for shapes alone: `converters` writes them as MIL."""
    import torch

    library = torch.library.Library("snugfit", "DEF")
    library.define("cached_attention(Tensor q, Tensor k, Tensor v, Tensor mask, Tensor keys, Tensor values, int layer) -> Tensor")
    library.define("rows(Tensor table, Tensor mask, int axis) -> Tensor")

    torch.library.register_fake("snugfit::cached_attention", lambda q, *rest: torch.empty_like(q), lib=library)
    torch.library.register_fake("snugfit::rows", _rows_like, lib=library)
    return library


def _rows_like(table: Any, mask: Any, axis: int) -> Any:
    shape = list(table.shape)
    shape[axis] = mask.shape[2]
    return table.new_empty(shape)


def as_stateful(program: Any, language: Language) -> Any:
    """Tell coremltools of the exported graph's states, and that the extents of its inputs are free.

    The graph was traced for `window` tokens, which is quick, and nothing in it depends on that.
    """
    from torch.export.graph_signature import OutputKind, OutputSpec

    signature = program.graph_signature
    states = [spec for spec in signature.input_specs if spec.target in (KEYS, VALUES)]
    updates = [OutputSpec(OutputKind.BUFFER_MUTATION, spec.arg, spec.target) for spec in states]
    signature.output_specs[:0] = updates
    free, ranges = _free_extents(language)
    inputs = [node for node in program.graph.nodes if node.name in signature.user_inputs]
    for node, value in zip(inputs, free, strict=True):
        node.meta["val"] = value
    program.range_constraints.update(ranges)
    _any_count(program.graph, language)  # decomposing wrote the numbers of the trace
    return program


def _free_extents(language: Language) -> tuple[list[Any], Any]:
    """Tensors of symbolic extents like tokens and mask, and the ranges of the symbols."""
    import torch

    class Both(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def forward(self, tokens: Any, mask: Any) -> Any:
            return tokens + mask.sum(-1)[:, 0].long()

    count, end = torch.export.Dim("count", max=language.window), torch.export.Dim("end", max=language.context)
    given = torch.ones(1, 5, dtype=torch.int64), torch.zeros(1, 1, 5, 7)
    made = torch.export.export(Both(), given, dynamic_shapes=({1: count}, {2: count, 3: end}), strict=False)
    return [node.meta["val"] for node in made.graph.nodes if node.op == "placeholder"], made.range_constraints


def _calls(graph: Any, *targets: Any) -> list[Any]:
    return [node for node in graph.nodes if node.op == "call_function" and node.target in targets]


def _mask(graph: Any) -> Any:
    tokens = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(tokens):
        return graph.placeholder("mask")


def _positions(module: Any, language: Language, mask: Any) -> None:
    """Compute what depends on positions alone for the whole context, and look up the rows of the tokens' positions.

    Computed at run time, angles would be float16: a position of some hundreds is no whole turn any more.
    """
    import torch

    def rows(table: Any, axis: int) -> Any:
        return module.graph.call_function(torch.ops.snugfit.rows.default, (table, mask, axis))

    _tabulate(module, language, language.context, mask, rows)


def _tabulate(module: Any, language: Language, count: int, after: Any, entries: Callable[[Any, int], Any]) -> None:
    """Replace what depends on positions alone by buffers of its values at `count` positions.

    `entries` writes a node that takes what it needs of a buffer with positions on an axis; `after` is where it may stand.
    """
    graph = module.graph
    known = _by_position(module, language, count)
    made: dict[bytes, Any] = {}
    for node in [n for n in known if any(user not in known for user in n.users)]:
        value, extents = known[node], list(node.meta["val"].shape)
        if language.window not in extents:
            raise LoweringError(f"coreml: {node.name} depends on positions but has none of its own, which a cache needs")
        axis = extents.index(language.window)
        key = f"{axis} {tuple(value.shape)}".encode() + value.numpy().tobytes()
        if key not in made:
            name = f"positions_{len(made)}"
            module.register_buffer(name, value)
            with graph.inserting_after(after):
                table = graph.get_attr(name)
            with graph.inserting_after(table):
                made[key] = entries(table, axis)
        node.replace_all_uses_with(made[key], delete_user_cb=lambda user: user not in known)
    graph.eliminate_dead_code()


def _by_position(module: Any, language: Language, count: int) -> dict[Any, Any]:
    """Values of the nodes that depend on positions, and on nothing but them and constants, for `count` positions."""
    import torch

    from sdk.models.rewrite import attribute

    values: dict[Any, Any] = {}
    found: dict[Any, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = attribute(module, node.target)
        elif node.op == "call_function" and all(source in values for source in node.all_input_nodes):
            counts = node.target is torch.ops.aten.arange.default and node.args == (language.window,)
            values[node] = torch.arange(count) if counts else _value(node, values)
            if counts or any(source in found for source in node.all_input_nodes):
                found[node] = values[node]
    return {node: value for node, value in found.items() if value is not None}


def _value(node: Any, values: dict[Any, Any]) -> Any:
    import torch

    with torch.no_grad():
        return node.target(
            *torch.fx.node.map_arg(node.args, lambda n: values[n]), **torch.fx.node.map_arg(node.kwargs, lambda n: values[n])
        )


def _any_count(graph: Any, language: Language) -> None:
    """Let reshapes infer the number of tokens, which is the only extent of its value."""
    import torch

    aten = torch.ops.aten
    for node in _calls(graph, aten.reshape.default, aten.view.default, aten._unsafe_view.default):
        extents = list(node.meta["val"].shape)
        if language.window in extents:
            node.target = aten.reshape.default
            node.args = (node.args[0], [-1 if extent == language.window else extent for extent in extents])


def _attention(module: Any, language: Language, mask: Any) -> None:
    """Replace each attention by one over a cache."""
    import torch

    graph = module.graph
    calls = _calls(graph, torch.ops.aten.scaled_dot_product_attention.default)
    shape = (len(calls), language.kv_heads, language.context, language.head_dim)
    for name in (KEYS, VALUES):
        module.register_buffer(name, torch.zeros(shape, dtype=torch.float16))
    with graph.inserting_after(mask):
        buffers = [graph.get_attr(name) for name in (KEYS, VALUES)]
    for layer, node in enumerate(calls):
        query, key, value = node.args[:3]
        if node.args[3:] != (None, 0.0, True) or tuple(key.meta["val"].shape[1::2]) != (language.kv_heads, language.head_dim):
            raise LoweringError(f"coreml: {node.name} is not plain causal attention, which a cache needs")
        factor = node.kwargs.get("scale")
        plain = query.meta["val"].shape[-1] ** -0.5
        with graph.inserting_before(node):
            if factor is not None and abs(factor / plain - 1) > 1e-6:  # Core ML's attention has no scale of its own
                query = graph.call_function(torch.ops.aten.mul.Tensor, (query, factor / plain))
            made = graph.call_function(
                torch.ops.snugfit.cached_attention.default, (query, key, value, mask, *buffers, layer)
            )
        made.meta.update(node.meta)
        node.replace_all_uses_with(made)
        graph.erase_node(node)
