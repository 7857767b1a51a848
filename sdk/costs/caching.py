"""The activations of a prefill over a cache of keys and values that the caller holds, read from the trace of one window.

A runtime such as LiteRT takes the whole cache in and gives it back. What writes new keys and values into it is outside of the
accelerated parts, one of which therefore ends before each attention; the next begins with its scores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sdk.costs.activations import Activations, Tensor, activations, attended, computed, positions
from sdk.lowering import Speaking
from sdk.models import Model
from sdk.models.language import Language

UPDATE = "cache_update"
"""Kind of the step that writes keys and values into the cache."""
FLOAT = 4
"""Bytes of a number: keys, values, masks and scores are float32."""


def room(language: Language, spoken: Speaking) -> int:
    """Tokens that the cache has room for: whole prefills, where there are any."""
    count = prefill(language, spoken)
    return -(-language.context // count) * count if count else language.context


def prefill(language: Language, spoken: Speaking) -> int:
    """Tokens of a prefill, 0 where the runtime has none."""
    return min(spoken.prefill, language.context)


def held_for(language: Language, spoken: Speaking) -> int:
    """Bytes that the caller holds for a context: keys and values; for a prefill of its own also masks and one token's logits."""
    count, tokens = prefill(language, spoken), room(language, spoken)
    given = FLOAT * ((count + 1) * tokens + language.vocabulary) if count else 0
    return spoken.caches * language.cache_bytes(tokens) + given


def cached(model: Model, spoken: Speaking, language: Language) -> Activations:
    """Return the activations of one prefill: the window's with as many tokens, up to the keys and values of the last layer.

    `language`: the model's facts, maybe with another context.

    Attention holds its scores over the whole cache, and keys or values as its kernel packs them. Where several heads share keys
    their masks are joined, once for all layers. The outputs are still the window's.
    """
    nodes, found, reads = computed(model), activations(model, spoken.working), attended(model)
    count, tokens = prefill(language, spoken), room(language, spoken)
    scale, final = count / language.window, max(reads)
    kinds, layers, scratch, places, updates = list[str](), list[str | None](), list[int](), dict[int, int](), dict[int, int]()
    for step in range(final + 1):
        if step in reads:
            updates[step] = len(kinds)
            kinds, layers, scratch = [*kinds, UPDATE], [*layers, None], [*scratch, 0]
        if step != final:
            places[step] = len(kinds)
            kinds, layers = [*kinds, found.kinds[step]], [*layers, found.layers[step]]
            scratch += [_attention(nodes[step], count, tokens) if step in reads else round(found.scratch[step] * scale)]
    tensors = [made for each in found.tensors if (made := _moved(each, reads, places, updates, scale)) is not None]
    order = [{updates[step], places[step]} for step in reads if step != final]
    tensors += [_held(f"cache {min(pair)}", 0, pair) for pair in order]
    joined = _mask(nodes[final], count, tokens)
    for name, size in (("mask", joined), ("positions", round(positions(model, language.window) * scale))):
        tensors += [_held(name, size, {0, *map(max, order)})] if size and order else []
    nothing = (0,) * len(kinds)
    return replace(
        found, tensors=tuple(tensors), layers=tuple(layers), kinds=tuple(kinds), scratch=tuple(scratch), padded=nothing,
        indirect=nothing, inner=nothing, pads={}, masked=frozenset(), attention={},
    )  # fmt: skip


def _moved(
    tensor: Tensor, reads: dict[int, tuple[str, ...]], places: dict[int, int], updates: dict[int, int], scale: float
) -> Tensor | None:
    """A tensor of the window where the prefill has it, whose keys and values end in the cache; None where it has not."""
    touched = {places[step] for step in tensor.touched if step in places and (step not in reads or _asks(tensor, step, reads))}
    touched |= {updates[step] for step in tensor.touched if step in reads and tensor.name in reads[step][1:]}
    made = places.get(tensor.made, -1)
    if not touched or (made < 0 <= tensor.made):
        return None
    rewritten = frozenset(places[step] for step in tensor.rewritten if step in places)
    return replace(
        tensor, bytes=round(tensor.bytes * scale), made=made, last=max(touched), touched=frozenset(touched), rewritten=rewritten,
        viewed=frozenset(places[step] for step in tensor.viewed if step in places),
    )  # fmt: skip


def _asks(tensor: Tensor, step: int, reads: dict[int, tuple[str, ...]]) -> bool:
    """Whether a tensor is the queries or the result of an attention."""
    return tensor.made == step or tensor.name == reads[step][0]


def _held(name: str, size: int, touched: set[int]) -> Tensor:
    made, last = min(touched), max(touched)
    return Tensor(name, size, made, last, frozenset(touched), frozenset(), frozenset(), None, frozenset(), True, False, False)


def _attention(node: Any, count: int, tokens: int) -> int:
    """Bytes of scores, and of what its kernel packs: keys beside them, then values beside the result, which is counted apart."""
    (_, heads, _, size), keys = node.args[0].meta["val"].shape, node.args[1].meta["val"].shape[1]
    packed = max(keys * tokens * (size + 1) - heads * count * size, keys * size * (tokens + 1))
    return int(FLOAT * (heads * count * tokens + packed))


def _mask(node: Any, count: int, tokens: int) -> int:
    """Bytes of the mask of all heads that share keys, 0 where none do."""
    groups = node.args[0].meta["val"].shape[1] // node.args[1].meta["val"].shape[1]
    return int(FLOAT * groups * count * tokens) if groups > 1 and count > 1 else 0
