"""Turns a language model's graph into the steps that LiteRT-LM runs: a prefill of many tokens and a decode of one.

Both read and write the keys and values of all tokens, which are inputs and outputs as LiteRT-LM names them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from sdk.errors import LoweringError
from sdk.models import Model, TensorSpec
from sdk.models.language import Language

PREFILL = 128
"""Tokens that one prefill takes at most; of fewer, the rest is padding that nothing looks at."""

DECODE = "decode"
"""Name of the signature that reads one token and returns its logits."""


CACHE = "kv_cache_"
"""What the names of keys and values begin with."""


HIDDEN = -1e9
"""What a mask adds to the score of a token that must not be seen."""


def prefill_length(language: Language) -> int:
    """Tokens of the prefill signature."""
    return min(PREFILL, language.context)


def prefill_name(language: Language) -> str:
    """Name of the prefill signature, such as `prefill_128`."""
    return f"prefill_{prefill_length(language)}"


def cache_length(language: Language) -> int:
    """Tokens that the cache has room for: whole prefills, since LiteRT-LM refuses one that would end beyond the cache."""
    count = prefill_length(language)
    return -(-language.context // count) * count


def cache_names(language: Language) -> list[str]:
    """Names of the keys and values, layer by layer, as inputs and outputs have them."""
    return [f"{CACHE}{kind}_{layer}" for layer in range(language.layers) for kind in "kv"]


def cache_shape(language: Language, name: str) -> tuple[int, ...]:
    """Shape of the keys or values called `name`: tokens before channels for keys, behind them for values."""
    extents = (cache_length(language), language.head_dim)
    return (1, language.kv_heads, *(extents if "_k_" in name else extents[::-1]))


def prefill_step(model: Model) -> Model:
    """The model as a prefill: `tokens`, `input_pos`, `mask` and the cache → the cache."""
    assert model.language is not None
    return _step(model, prefill_length(model.language), ())


def decode_step(model: Model) -> Model:
    """The model as a decode: one token, its position, mask and the cache → logits and the cache."""
    assert model.language is not None
    logits = model.outputs[0]
    return _step(model, 1, (dataclasses.replace(logits, shape=(1, 1, logits.shape[2])),))


def _step(model: Model, count: int, outputs: tuple[TensorSpec, ...]) -> Model:
    """A model of `count` tokens at once, of which the keys and values are outputs behind `outputs`."""
    import torch

    assert model.language is not None
    language: Language = model.language
    cache = tuple(TensorSpec(name, "float32", cache_shape(language, name)) for name in cache_names(language))
    inputs = (
        TensorSpec("tokens", "int32", (1, count)), TensorSpec("input_pos", "int32", (count,)),
        TensorSpec("mask", "float32", (1, 1, count, cache_length(language))), *cache,
    )  # fmt: skip

    class Step(Model):
        def module(self) -> Any:
            return _with_cache(Model.module(self), language, inputs, bool(outputs))

    facts = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    example = tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs)
    named = {"inputs": inputs, "outputs": (*outputs, *cache), "example": example, "digest": f"{model.artifact_digest}:{count}"}
    return Step(**(facts | named))


def _with_cache(module: Any, language: Language, inputs: tuple[TensorSpec, ...], logits: bool) -> Any:
    from torch.fx.graph import CodeGen

    graph, count = module.graph, inputs[0].shape[1]
    last = next(node for node in graph.nodes if node.op == "placeholder")
    given = [last]
    for spec in inputs[1:]:
        with graph.inserting_after(last):
            last = graph.placeholder(spec.name)
        given.append(last)
    _positions(graph, language, given[1])
    _recount(graph, language.window, count)
    cache = _attention(graph, given)
    output = next(node for node in graph.nodes if node.op == "output")
    output.args = ((*(output.args[0] if logits else ()), *cache),)
    graph.set_codegen(CodeGen())
    graph.eliminate_dead_code()
    module._forward_pre_hooks.clear()  # they check the signature, which has more inputs now
    module.recompile()
    return module


def _positions(graph: Any, language: Language, positions: Any) -> None:
    """Take positions from the input instead of counting them, and drop what the trace asserts of types and places."""
    import torch

    aten = torch.ops.aten
    for node in list(graph.nodes):
        if node.target is aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target is aten.arange.default and node.args == (language.window,):
            node.replace_all_uses_with(positions)
            graph.erase_node(node)


def _recount(graph: Any, old: int, new: int) -> None:
    """Write another number of tokens wherever the trace has its own, which no other extent equals."""

    def changed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(changed(each) for each in value)
        return new if isinstance(value, int) and not isinstance(value, bool) and value == old else value

    for node in graph.nodes:
        if node.op == "call_function":
            node.args = changed(node.args)


def _attention(graph: Any, given: list[Any]) -> list[Any]:
    """Write each attention as products over the whole cache, of which the mask says what is seen; return the new cache."""
    import torch

    positions, mask, past = given[1], given[2], iter(given[3:])
    made: list[Any] = []
    for node in [n for n in graph.nodes if n.target is torch.ops.aten.scaled_dot_product_attention.default]:
        if node.args[3:] != (None, 0.0, True):
            raise LoweringError(f"{node.name} is not plain causal attention, which a cache needs")
        query, keys, values = node.args[:3]
        with graph.inserting_before(node):
            made.append(graph.call_function(update, (next(past), keys, positions, 2)))
            turned = graph.call_function(torch.ops.aten.transpose.int, (values, 2, 3))
            made.append(graph.call_function(update, (next(past), turned, positions, 3)))
            found = graph.call_function(attend, (query, *made[-2:], mask, node.kwargs.get("scale")))
        node.replace_all_uses_with(found)
        graph.erase_node(node)
    return made


def update(past: Any, new: Any, positions: Any, axis: int) -> Any:
    """The cache `past` with `new` in it along `axis`, from the first of `positions` on."""
    import litert_torch.generative.custom_ops.dynamic_update_slice  # noqa: F401  (registers the operator)
    import torch

    start = positions[0]
    places = [start if index == axis else start - start for index in range(4)]
    return torch.ops.litert_torch.dynamic_update_slice(past, new, places)


def attend(query: Any, keys: Any, values: Any, mask: Any, scale: float | None) -> Any:
    """softmax(q·kᵀ·scale + mask)·v, where heads that share keys are rows of one product; [1, heads, tokens, size].

    `keys` [1, kv heads, context, size], `values` [1, kv heads, size, context], `mask` [1, 1, tokens, context].
    """
    import litert_torch.generative.custom_ops.bmm_4d  # noqa: F401  (registers the operator)
    import torch

    _, heads, count, size = query.shape
    groups = heads // keys.shape[1]
    scaled = query * (size**-0.5 if scale is None else scale)
    scores = torch.ops.litert_torch.bmm_4d(scaled.reshape(1, keys.shape[1], groups * count, size), keys)
    rows = torch.cat([mask] * groups, 2) if groups > 1 and count > 1 else mask
    mixed = torch.ops.litert_torch.bmm_4d(torch.softmax(scores + rows, -1), values)
    return mixed.reshape(1, heads, count, size)
