"""The places that runtimes give blocks of memory, and how much room these take together.

XNNPACK (`memory-planner.c`) and LiteRT (`arena_planner.cc`, `simple_memory_arena.cc`) place blocks alike: the largest first,
each into the smallest gap that fits between those which live at the same time. XNNPACK looks for no gap in front of the first of
these, so that a chain of blocks of one size, each of which overlaps only the next, is laid out end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Bytes to whose multiples a block is placed."""
RUNTIME = 16
"""The same for ExecuTorch's own blocks."""
MAPPED = 2_000_000
"""Bytes from which an allocator gives back to the system what is freed (between 1.86 and 2.21 MB where torch was imported)."""


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes that live from `first` to `last`, both moments included."""

    bytes: int
    first: int
    last: int


def arena(blocks: Sequence[Block], front: bool = True) -> int:
    """Return the bytes of the arena that holds all `blocks`; `front`: room in front of those that live is used too."""
    placed: list[tuple[int, int, Block]] = []
    for block in sorted(blocks, key=lambda each: (-each.bytes, each.first)):
        size = -(-block.bytes // ALIGNMENT) * ALIGNMENT
        beside = sorted((place, end) for place, end, other in placed if other.first <= block.last and block.first <= other.last)
        best, least, free = -1, 0, 0
        for place, end in beside:
            gap = place - free if free or front else 0
            if gap >= size and (best < 0 or gap < least):
                best, least = free, gap
            free = max(free, end)
        start = best if best >= 0 else free
        placed.append((start, start + size, block))
    return max((end for _, end, _ in placed), default=0)


def buckets(blocks: Sequence[Block]) -> int:
    """Return the bytes of the buckets that hold all `blocks` (ExecuTorch, `memory_planning.py`).

    The largest first, each goes into the first bucket none of whose blocks lives with it, or behind those that do, where it still
    fits; elsewhere it begins a bucket of its own size.
    """
    found: list[tuple[int, list[tuple[int, Block]]]] = []
    for block in sorted(blocks, key=lambda each: (-each.bytes, -each.first)):
        ends = [
            max((end for end, other in held if other.first <= block.last and block.first <= other.last), default=0)
            for _, held in found
        ]
        place = next((at for at, end in enumerate(ends) if not end), None)
        if place is None:
            place = next((at for at, end in enumerate(ends) if end + block.bytes <= found[at][0]), len(found))
        if place == len(found):
            found.append((block.bytes, []))
        end = ends[place] if place < len(ends) else 0
        found[place][1].append((end + -(-block.bytes // RUNTIME) * RUNTIME, block))
    return sum(-(-size // RUNTIME) * RUNTIME for size, _ in found)


def grown(sizes: Sequence[int]) -> int:
    """Return the bytes that an allocator's heap takes for one room that is made anew wherever the next of `sizes` is larger.

    The new room is there before the old one is given back (XNNPACK, `runtime.c`), so that what is given back is used again only
    once two old ones lie side by side. Large rooms are no part of the heap.
    """
    top = start = size = most = 0
    for each in sizes:
        if each <= most:
            continue
        most = each
        if each < MAPPED:
            start = 0 if each <= start else start + size
            size, top = each, max(top, start + each)
    return top
