"""Finds the integer grid that a weight already lies on, as checkpoints of few bits do: rounding to it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.schemes import Scheme

LEAST_SCALE = 2.0**-24
"""Smallest positive float16: no scale is stored as zero."""

SAMPLE = 16
"""Blocks, evenly spread, of which half must show a grid before all are searched."""

OFF = 0.3
"""Steps that a weight may seem to lie off its grid while the scale is that of the block's largest value, rounded as published."""

CHUNK = 1 << 18
"""Weights searched at once."""

LEAST = {4: -8}
"""Width in bits → least integer, where kernels take the one that has no positive counterpart."""


def least_integer(bits: int) -> int:
    """The least integer of a grid of `bits`."""
    return LEAST.get(bits, 1 - (1 << (bits - 1)))


def published_as(weight: Any) -> Any:
    """The narrowest of bfloat16, float16 and float32 that holds every value of `weight` (float32) exactly.

    A checkpoint's integers times scales were rounded to it when they were published.
    """
    import torch

    for dtype in (torch.bfloat16, torch.float16):
        if bool((weight.to(dtype).float() == weight).all()):
            return dtype
    return torch.float32


def lattice_scale(blocks: Any, bits: int, store: Callable[[Any], Any]) -> Any:
    """Return the scale (float32 [n, 1]) that makes each row of `blocks` ([n, size]) exactly integers times it; 0 where none does.

    Integers of `bits` reach from `least_integer` to 2^(bits-1)-1. The scale is one that `store` returns, which rounds scales
    to those of a format; exact means equal in the number format that the weight was published in (see `published_as`).
    """
    import torch

    found = torch.zeros(blocks.shape[0], 1)
    seen = some_blocks(blocks)
    likely = seen[may_lie(seen, bits)]
    if 2 * len(likely) < len(seen) or not len(seen):
        return found
    if 2 * int((_search(likely, bits, published_as(seen), store) > 0).sum()) < len(seen):
        return found
    step = max(1, CHUNK // blocks.shape[1])
    for dtype in dict.fromkeys((torch.float32, published_as(blocks))):  # equal as they are, before equal once rounded
        left = torch.nonzero(found[:, 0] == 0)[:, 0]
        for rows in left.split(step):
            found[rows] = _search(blocks[rows], bits, dtype, store)
    return found


def on_levels(flat: Any, scheme: Scheme) -> tuple[Any, Any, Any] | None:
    """Codes, table and scales of a palette with scales of groups, where `flat` [channels, rest] is exactly that; else None.

    The table holds integers: ±1 for 1 bit, -1 to 2 for 2 bits, -8 to 7 for 4 bits. A scale may be negative: Q4_0's blocks
    end at 8 where their largest value is positive.
    """
    import torch

    size = scheme.scale_group
    if scheme.format != "lut" or not size or flat.shape[1] % size:
        return None
    blocks = flat.reshape(-1, size)
    sign = -torch.sign(blocks.gather(1, blocks.abs().argmax(1, keepdim=True)))
    scale = lattice_scale(blocks * sign, max(scheme.bits, 2), lambda value: value.half().float())
    empty = (blocks == 0).all(1, keepdim=True)
    if not bool((empty | (scale > 0)).all()) or (scheme.bits == 1 and bool((blocks == 0).any())):
        return None
    scale = torch.where(empty, LEAST_SCALE, scale * sign)
    integers = torch.round(blocks / scale)
    if scheme.bits == 1:
        table, codes = torch.tensor([[-1.0, 1.0]]), integers > 0
    else:
        least = -1.0 if scheme.bits == 2 else float(least_integer(scheme.bits))
        table, codes = torch.arange(2.0**scheme.bits).reshape(1, -1) + least, integers - least
    return codes.to(torch.uint8).reshape(flat.shape), table, scale.reshape(flat.shape[0], -1)


def some_blocks(blocks: Any) -> Any:
    """About SAMPLE rows of `blocks`, evenly spread, without those of zeros alone."""
    some = blocks[:: -(-blocks.shape[0] // SAMPLE)]
    return some[(some != 0).any(1)]


def few_values(blocks: Any, most: int) -> Any:
    """Which rows have at most `most` different values."""
    return (blocks.sort(dim=1).values.diff(dim=1) != 0).sum(1) < most


def may_lie(blocks: Any, bits: int) -> Any:
    """Which rows (not of zeros alone) are nearly integers of `bits` for some integer that their largest value may be."""
    import torch

    made = few_values(blocks, 2**bits)
    largest = blocks.abs().amax(1, keepdim=True)
    near = torch.zeros_like(made)
    for part in torch.arange(1.0, 1 - least_integer(bits)).split(16):
        steps = blocks.unsqueeze(1) / largest.unsqueeze(1) * part.reshape(1, -1, 1)
        near |= ((steps - steps.round()).abs().amax(2) < OFF).any(1)
    return made & near


def _search(blocks: Any, bits: int, dtype: Any, store: Callable[[Any], Any]) -> Any:
    """`lattice_scale` of some blocks: the largest value of each is tried as every integer that it may be.

    Of few bits the least one first: ternary weights are found at once. Of many nearly every block reaches the greatest.
    """
    import torch

    ends = least_integer(bits), 2 ** (bits - 1) - 1
    found = torch.zeros(blocks.shape[0], 1)
    largest = blocks.abs().amax(1, keepdim=True)
    left = torch.nonzero(largest[:, 0] > 0)[:, 0]
    for integer in sorted(range(1, 1 - ends[0]), reverse=bits > 4):
        if not len(left):
            break
        scale = largest[left] / integer
        steps = blocks[left] / scale
        near = torch.nonzero(steps.sub_(steps.round()).abs_().amax(1) < OFF)[:, 0]
        stored = _stored(blocks[left[near]], scale[near], ends, dtype, store)
        found[left[near]] = stored
        left = left[found[left, 0] == 0]
    return found


def _stored(blocks: Any, scale: Any, ends: tuple[int, int], dtype: Any, store: Callable[[Any], Any]) -> Any:
    """The scale near `scale` that is stored as it is and gives every row back; 0 where there is none."""
    import torch

    codes = torch.round(blocks / scale)
    low, high = _between(blocks, codes, dtype)
    fits = ((codes >= ends[0]) & (codes <= ends[1])).all(1, keepdim=True)
    found, middle = torch.zeros_like(low), (low + high) / 2
    for near in (middle, middle.bfloat16().float()):  # scales of few digits are likelier to be the checkpoint's own
        kept = store(near)
        same = ((codes * kept).to(dtype).float() == blocks).all(1, keepdim=True)
        found = torch.where(fits & same, kept, found)
    return found


def _between(blocks: Any, codes: Any, dtype: Any) -> tuple[Any, Any]:
    """Bounds of the scales that each row allows, were every value rounded to `dtype` after its integer was multiplied."""
    import torch

    digits = {torch.bfloat16: 8, torch.float16: 11}.get(dtype)
    size, steps = blocks.abs(), codes.abs()
    exponent = torch.frexp(size).exponent
    half = torch.zeros_like(size) if digits is None else torch.ldexp(torch.full_like(size, 0.5), exponent - digits)
    some = steps > 0
    low = torch.where(some, (size - half) / steps, torch.zeros_like(size)).amax(1, keepdim=True)
    high = torch.where(some, (size + half) / steps, torch.full_like(size, float("inf"))).amin(1, keepdim=True)
    return low, torch.minimum(high, size.amax(1, keepdim=True))
