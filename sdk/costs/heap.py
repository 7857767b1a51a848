"""What a C library's heap keeps of blocks that are asked for and given back: the pages that were ever written stay.

Of glibc (`malloc.c`): what does not fit into the heap's free end is mapped for itself from a threshold on, which grows with each
such block that is given back, so that from the second run on nearly all blocks lie in the heap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sdk.costs.scratch import Asked

MAPPED, MOST = 265_000, 32 << 20
"""Bytes beyond which a block is mapped for itself at first, as Python and LiteRT leave it, and beyond which always."""
PAD = 131_072
"""Bytes by which the heap grows more than is asked for, and that stay where it shrinks."""


def resident(held: Iterable[Sequence[Asked]], before: Iterable[Sequence[Asked]] = ()) -> int:
    """Return the bytes that are resident at most; each item of `held` is held together, and given back before the next.

    What was held `before` is not counted, but what the heap keeps of it.
    """
    heap = _Heap()
    for asked in before:
        heap.hold(asked)
    return max(heap.hold(asked) for asked in held)


class _Heap:
    """The end of a heap from which blocks are taken."""

    def __init__(self) -> None:
        self.threshold, self.free = MAPPED, PAD
        self.written: list[tuple[int, int]] = []

    def hold(self, asked: Sequence[Asked]) -> int:
        """Take blocks, write to them and give them back; returns the bytes that are resident meanwhile."""
        end, mapped = 0, list[Asked]()
        for block in asked:
            if end + block.bytes > self.free and block.bytes > self.threshold:
                mapped.append(block)
                continue
            if end + block.bytes > self.free:
                self.free = end + block.bytes + PAD
            self.written += [(end + first, end + last) for first, last in block.written]
            end += block.bytes
        self.written = _joined(self.written)
        resident = _size(self.written) + sum(_size(block.written) for block in mapped)
        for block in mapped:
            self.threshold = max(self.threshold, block.bytes if block.bytes <= MOST else 0)
        if self.free > 2 * self.threshold and end:
            self.free = PAD
            self.written = [(first, min(last, PAD)) for first, last in self.written if first < PAD]
        return resident


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def _size(spans: Iterable[tuple[int, int]]) -> int:
    return sum(last - first for first, last in spans)
