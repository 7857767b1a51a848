"""Gives a language model's graph a key-value cache, any number of tokens, and operators that XNNPACK takes whole."""

from __future__ import annotations

from typing import Any

from sdk.errors import LoweringError
from sdk.models.language import Language

CONSTANT = "sdk_constant"
"""Prefix of the buffers that stand for an operator which the backend lacks."""


def with_cache(module: Any, language: Language) -> Any:
    """Change a GraphModule of `tokens [1, window]` into one of `tokens [1, window], input_pos [1]` and return it.

    Nothing in it depends on the extent `window`, so that a runtime can call it with fewer tokens (see `lowering`): tracing
    with a symbol for the extent takes several times as long. The keys and values of `language.context` tokens stay in
    buffers between calls; each call writes those of its tokens from position `input_pos[0]` on. LoweringError when the
    attention is not the plain causal one.
    """
    from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers torch.ops.llama)
    from torch.fx.graph import CodeGen

    start = _positions(module, language)
    _any_count(module.graph, language)
    _attention(module, language, start)
    _means(module)
    _half_turns(module)
    _shared_views(module.graph, language)
    module.graph.eliminate_dead_code()
    module.graph.set_codegen(CodeGen())
    module._forward_pre_hooks.clear()  # they check the signature, which has one input more now
    module.recompile()
    return module


def example(language: Language) -> tuple[Any, ...]:
    """Return the example inputs of the changed graph."""
    import torch

    return torch.ones(1, language.window, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)


def metadata(language: Language) -> dict[str, Any]:
    """Return the constant methods by which ExecuTorch's LLM runner knows a model."""
    return {
        "get_bos_id": -1 if language.begin is None else language.begin,
        "get_eos_ids": list(language.ends),
        "get_max_context_len": language.context,
        "get_max_seq_len": language.window,
        "get_n_layers": language.layers,
        "get_vocab_size": language.vocabulary,
        "enable_dynamic_shape": True,
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": True,
    }


def _calls(graph: Any, target: Any) -> list[Any]:
    return [node for node in graph.nodes if node.op == "call_function" and node.target is target]


def _positions(module: Any, language: Language) -> Any:
    """Add the input `input_pos`, count positions from it, and return the node of its value as a number."""
    import torch

    graph, aten = module.graph, torch.ops.aten
    tokens = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(tokens):
        position = graph.placeholder("input_pos")
    with graph.inserting_after(position):
        first = graph.call_function(aten.select.int, (position, 0, 0))
    with graph.inserting_after(first):
        start = graph.call_function(aten.item.default, (first,))
    for node in _calls(graph, aten.arange.default):
        if node.args == (language.window,):
            with graph.inserting_before(node):
                ones = graph.call_function(aten.ones_like.default, (graph.call_function(aten.select.int, (tokens, 0, 0)),))
                counted = graph.call_function(aten.cumsum.default, (ones, 0))
                moved = graph.call_function(aten.add.Tensor, (graph.call_function(aten.sub.Tensor, (counted, 1)), position))
            moved.meta.update(node.meta)
            node.replace_all_uses_with(moved)
            graph.erase_node(node)
    return start


def _any_count(graph: Any, language: Language) -> None:
    """Let reshapes infer the number of tokens, which is the only extent of its value."""
    import torch

    for node in _calls(graph, torch.ops.aten.reshape.default):
        extents = list(node.meta["val"].shape)
        if language.window in extents:
            node.args = (node.args[0], [-1 if extent == language.window else extent for extent in extents])


def _attention(module: Any, language: Language, start: Any) -> None:
    """Replace each attention by writes into its cache and the runtime's attention over the cache."""
    import torch

    graph, llama = module.graph, torch.ops.llama
    for index, node in enumerate(_calls(graph, torch.ops.aten.scaled_dot_product_attention.default)):
        query, key, value = node.args[:3]
        if node.args[3:] != (None, 0.0, True) or any(u.target is not torch.ops.aten.transpose.int for u in node.users):
            raise LoweringError(f"{node.name} is not plain causal attention, which the runtime's cache needs")
        shape = (1, language.context, key.meta["val"].shape[1], key.meta["val"].shape[3])
        for name in ("keys", "values"):
            module.register_buffer(f"{name}_{index}", torch.zeros(shape), persistent=False)
        with graph.inserting_before(node):
            keys, values = graph.get_attr(f"keys_{index}"), graph.get_attr(f"values_{index}")
            query, key, value = (_by_token(graph, each) for each in (query, key, value))
            graph.call_function(llama.update_cache.default, (key, keys, start))
            graph.call_function(llama.update_cache.default, (value, values, start))
            made = graph.call_function(
                llama.custom_sdpa.default, (query, keys, values, start, None, 0.0, True, node.kwargs.get("scale"))
            )
        for user in list(node.users):
            user.replace_all_uses_with(made)
            graph.erase_node(user)
        graph.erase_node(node)


def _by_token(graph: Any, value: Any) -> Any:
    """[1, heads, n, dim] as [1, n, heads, dim]: what was turned before the attention, or turned here."""
    import torch

    turn = torch.ops.aten.transpose.int
    if value.target is turn and set(value.args[1:]) == {1, 2}:
        return value.args[0]
    return graph.call_function(turn, (value, 1, 2))


def _means(module: Any) -> None:
    """Write the mean over the last axis, as norms take it, as a product with a constant row, which the backend has."""
    import torch

    for node in _calls(module.graph, torch.ops.aten.mean.dim):
        if list(node.args[1]) == [-1] and node.args[2:3] == (True,):
            size = node.args[0].meta["val"].shape[-1]
            _as_linear(module, node, node.args[0], f"mean_{size}", torch.full((1, size), 1.0 / size))


def _half_turns(module: Any) -> None:
    """Write `cat(-upper half, lower half)`, of rotary positions, as a product with a signed permutation: exact."""
    import torch

    for node in _calls(module.graph, torch.ops.aten.cat.default):
        source = _turned(node)
        if source is not None:
            size = source.meta["val"].shape[-1]
            _as_linear(module, node, source, f"half_turn_{size}", _half_turn(size))


def _turned(node: Any) -> Any:
    """What `node` turns by a half, or None when it is another concatenation."""
    import torch

    aten, parts = torch.ops.aten, node.args[0]
    if len(parts) != 2 or parts[0].target is not aten.neg.default:
        return None
    upper, lower = parts[0].args[0], parts[1]
    if upper.target is not aten.slice.Tensor or lower.target is not aten.slice.Tensor or upper.args[0] is not lower.args[0]:
        return None
    source = lower.args[0]
    half = source.meta["val"].shape[-1] // 2
    whole = 2 * half == source.meta["val"].shape[-1] and lower.args[2:4] == (0, half) and upper.args[2] == half
    return source if whole and upper.meta["val"].shape[-1] == half else None


def _half_turn(size: int) -> Any:
    import torch

    made, first = torch.zeros(size, size), torch.arange(size // 2)
    made[first, first + size // 2] = -1
    made[first + size // 2, first] = 1
    return made


def _as_linear(module: Any, node: Any, source: Any, name: str, weight: Any) -> None:
    import torch

    name = f"{CONSTANT}_{name}"
    if not hasattr(module, name):
        module.register_buffer(name, weight)
    with module.graph.inserting_before(node):
        made = module.graph.call_function(torch.ops.aten.linear.default, (source, module.graph.get_attr(name)))
    made.meta.update(node.meta)
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _shared_views(graph: Any, language: Language) -> None:
    """Add axes to one value once, as a reshape, which the backend takes in more places than `unsqueeze`."""
    import torch

    made: dict[tuple[Any, int], Any] = {}
    for node in _calls(graph, torch.ops.aten.unsqueeze.default):
        source, axis = node.args
        value = source.meta.get("val")
        if value is None or not value.is_floating_point():
            continue
        key = (source, axis % (value.dim() + 1))
        if key not in made:
            extents = [-1 if extent == language.window else extent for extent in node.meta["val"].shape]
            node.target, node.args = torch.ops.aten.reshape.default, (source, extents)
            made[key] = node
        else:
            node.replace_all_uses_with(made[key])
            graph.erase_node(node)
