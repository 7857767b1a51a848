"""Names the grid that a checkpoint's weight lies on, whether or not a target can store it."""

from __future__ import annotations

from typing import Any

from sdk.rounding.lattice import few_values, lattice_scale, may_lie, published_as, some_blocks

WIDTHS = ((2, False), (4, False), (4, True), (8, False))
"""Bits of the grids that are looked for, and whether they have offsets, in this order."""

GROUPS = (128, 64, 32)
"""Weights along the input that may share a scale, besides a whole channel."""


def recognise(weight: Any, channel_axis: int) -> str | None:
    """Say what grid `weight` lies on by about SAMPLE of its blocks, such as `4 bits in groups of 32 with offsets`; None: on none.

    Two bits are ternary, -1 to 1, or 1 bit where no weight is zero. The coarsest blocks that fit are named. Channels of one or
    two weights are on none: any two numbers lie on a grid of a scale and an offset, and that says nothing about a checkpoint.
    """
    rows = weight.detach().float().movedim(channel_axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    if flat.shape[1] <= 2:
        return None
    sizes = (flat.shape[1], *(size for size in GROUPS if size < flat.shape[1] and flat.shape[1] % size == 0))
    for bits, offsets in WIDTHS:
        for size in sizes:
            blocks = some_blocks(flat.reshape(-1, size))
            if len(blocks) and _all_lie(blocks, bits, offsets):
                where = "per channel" if size == flat.shape[1] else f"in groups of {size}"
                width = "1 bit" if bits == 2 and bool((blocks != 0).all()) else "ternary" if bits == 2 else f"{bits} bits"
                return f"{width} {where}{' with offsets' if offsets else ''}"
    return None


def _all_lie(blocks: Any, bits: int, offsets: bool) -> bool:
    if offsets:
        return bool(few_values(blocks, 2**bits).all() and _with_offsets(blocks, bits).all())
    return bool(may_lie(blocks[:1], bits).all() and (lattice_scale(blocks, bits, lambda scale: scale) > 0).all())


def _with_offsets(blocks: Any, bits: int) -> Any:
    """Which rows are least value + step · integers of `bits`, each within the rounding of a float of their size."""
    import torch

    low, high = blocks.amin(1, keepdim=True), blocks.amax(1, keepdim=True)
    unit = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}.get(published_as(blocks), 2.0**-22)
    room = unit * blocks.abs().amax(1, keepdim=True)
    fits = torch.zeros(len(blocks), dtype=torch.bool)
    for integer in range(2**bits - 1, 1, -1):
        step = ((high - low) / integer).clamp(min=1e-30)
        codes = torch.round((blocks - low) / step)
        fits |= ((blocks - low - codes * step).abs() <= room).all(1)
    return fits
