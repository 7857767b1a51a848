"""What it takes to write one token of a language model: the steps of its window for a single token, over a full cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sdk.costs.caching import UPDATE, room
from sdk.costs.work import PASSED, ROW, Step, steps_of
from sdk.lowering import Speaking
from sdk.models import Model
from sdk.models.language import Language

ATTENTION = "scaled_dot_product_attention"
MOVED = ("transpose", "permute")
"""Kinds that exchange tokens and heads: of a single token nothing moves."""


def token_steps(model: Model, spoken: Speaking) -> tuple[Step, ...]:
    """Return the steps of writing the last token that the context holds, for a model with `language`.

    The caller holds the cache: attention reads all of it whatever is in it, as two products of matrices, whose `weights` are its
    keys and values.
    """
    assert model.language is not None
    language = model.language
    tokens = room(language, spoken)
    found: list[Step] = []
    for step in steps_of(model):
        if step.kind == ATTENTION:
            found += _over_cache(step, language, tokens)
        elif step.kind == PASSED:
            size = language.vocabulary + tokens
            found.append(replace(step, inputs=size, outputs=size))
        elif step.kind not in MOVED:
            found.append(_of_one(step, language.window))
    return tuple(found)


def _of_one(step: Step, window: int) -> Step:
    """The step of one token: what no other extent equals, the window, counts its tokens."""

    def scaled(size: int) -> int:
        return size // window if size % window == 0 else max(1, size // window)

    kind = ROW if step.kind == "linear" else step.kind
    return replace(step, kind=kind, positions=scaled(step.positions), inputs=scaled(step.inputs), outputs=scaled(step.outputs))


def _over_cache(step: Step, language: Language, tokens: int) -> Iterator[Step]:
    heads, size, shared = step.groups, step.depth, language.kv_heads
    read = shared * tokens * size
    for _ in "kv":
        yield Step(UPDATE, None, 0, 1, 0, 1, 0, shared * size, shared * size, 0)
    scores = heads * tokens
    yield Step("matmul", None, heads // shared, shared, tokens, 1, size, read + heads * size, scores, read)
    yield Step("add", None, 0, 1, 0, 1, 0, 2 * scores, scores, 0)
    yield Step("softmax", None, 0, 1, 0, 1, 0, scores, scores, 0)
    yield Step("matmul", None, heads // shared, shared, size, 1, tokens, read + scores, heads * size, read)
