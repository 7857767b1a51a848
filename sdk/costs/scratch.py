"""What kernels outside of the accelerated parts take besides their tensors while they run.

LiteRT's own float kernels multiply with Eigen where they are built for x86; ARM builds take ruy, which nobody measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdk.costs.placing import ALIGNMENT
from sdk.costs.transfer import THREADS
from sdk.models import Layer

HIGH, WIDE, DEPTH = 8, 4, 320
"""Rows and columns of the kernel's tile, inner elements that a contraction takes at once (Eigen, `GeneralBlockPanelKernel.h`,
SSE)."""
FIRST, SECOND = 49_152, 2 << 20
"""Bytes of the caches of the machine that was measured."""
TASK, START, THREAD, STORE = 40_000, 100_000, 100_000, 4 * 11 / 64
"""Cycles of a task, of starting at all, of each thread, and of storing one result (Eigen, `TensorCostModel.h`)."""
REDUCE = 3_000
"""Cycles of adding up what one thread made of its share of the inner side."""
SHARE = 8
"""Tasks of each thread from which on these pack what they work on for themselves."""
STACK = 131_072
"""Bytes up to which the stack holds a packed block (Eigen, `EIGEN_STACK_ALLOCATION_LIMIT`)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One block that a kernel asks an allocator for: its bytes, and from where to where it writes to it."""

    bytes: int
    written: tuple[tuple[int, int], ...]


def whole(size: int) -> Asked:
    """Return a block that is written from end to end."""
    return Asked(size, ((0, size),))


def scratch(layer: Layer, kernel: str, dilated: bool = False) -> tuple[Asked, ...]:
    """Return the blocks that a `kernel` asks for at each run, all of which it holds together.

    A `product` is one of matrices, a `contraction` one over the patches of a convolution; those of a `dilated` one are written
    out, and their product is taken (LiteRT, `conv.cc`).
    """
    rows = layer.shape[layer.channel_axis]
    inner, columns = layer.parameters // rows, layer.macs // layer.parameters
    if kernel == "product" or (kernel and dilated):
        return _product(rows, columns, inner)
    return _contraction(rows, columns, inner) if kernel else ()


def _product(rows: int, columns: int, inner: int) -> tuple[Asked, ...]:
    """One block of each side, packed; a product with a vector packs nothing, and the stack holds small blocks.

    Their sizes follow from those of the caches (Eigen, `evaluateProductBlockingSizesHeuristic` for one thread).
    """
    if columns == 1:
        return ()
    deep, high, wide = inner, rows, columns
    if max(rows, columns, inner) >= 48:
        deep = _even(inner, (FIRST - 4 * HIGH * WIDE) // (4 * (HIGH + WIDE)) & ~7, 8, 1)
        free = FIRST - 4 * HIGH * WIDE - 4 * rows * deep
        bound = free // (4 * deep) if free >= 4 * WIDE * deep else 9 * SECOND // (32 * deep)
        bound = min(3 * SECOND // (16 * deep), bound) & ~(WIDE - 1)
        wide = _even(columns, bound, WIDE)
        if wide == columns and deep == inner:
            high = _high(rows, deep, 4 * deep * wide)
    return tuple(whole(size + ALIGNMENT) for size in (4 * high * deep, 4 * wide * deep) if size > STACK)


def _high(rows: int, deep: int, size: int) -> int:
    """Rows of a block where the other side, of `size` bytes, is packed as a whole."""
    cache, most = 3 * SECOND // 2, rows
    if size <= 1024:
        cache = FIRST
    elif size <= FIRST:
        cache, most = SECOND, min(576, rows)
    high = min(cache // (12 * deep), most)
    return _even(rows, high - high % HIGH if high > HIGH else high, HIGH) if high else rows


def _even(size: int, most: int, step: int, less: int = 0) -> int:
    """Return the size of each of the fewest blocks up to `most`, in whole `step`s, that leaves the last as large as can be."""
    if size <= most or size % most == 0:
        return min(size, most)
    return most - step * ((most - less - size % most) // (step * (size // most + 1)))


def _contraction(rows: int, columns: int, inner: int) -> tuple[Asked, ...]:
    """Packed slices of both operands, two at a time (Eigen, `TensorContractionThreadPool.h`).

    Where there are enough tasks for all threads each packs the columns that it works on in a room of its own. Of slices beyond
    the first it does so only if it comes in time: which ones are late differs from run to run, so that all are counted.
    """
    deep = min(inner, DEPTH)
    slices = -(-inner // deep)
    high = min(rows, _whole(-(-rows // THREADS), HIGH))
    fits = (SECOND - FIRST) // (4 * WIDE * deep)
    each = -(-columns // THREADS)
    wide = fits - fits % WIDE if fits <= each else min(columns, _whole(each, WIDE))
    if _by_inner(rows, columns, inner):
        part = whole(4 * deep * (high + wide) + ALIGNMENT)
        return part, *[part] * THREADS, whole(4 * rows * columns)
    blocks, cycles = -(-columns // wide), deep / WIDE + STORE
    grain = _grain(high * wide * cycles, blocks)
    alone = rows * columns * cycles > START + THREAD and -(-blocks // grain) >= SHARE * THREADS
    written: list[tuple[int, int]] = []
    end = 0
    for place in range(min(slices, 2)):
        used = {each: min(deep, inner - deep * each) for each in range(place, slices, 2)}
        end = _written(written, end, rows, high, max(used.values()), deep)
        end = _written(written, end, columns, wide, max((used[each] for each in used if each or not alone), default=0), deep)
    asked = (Asked(end + ALIGNMENT, tuple(written)),)
    return (*asked, whole(4 * THREADS * grain * wide * deep + ALIGNMENT)) if alone else asked


def _by_inner(rows: int, columns: int, inner: int) -> bool:
    """Whether each thread takes a share of the inner side: of products with few rows, large enough (`shardByInnerDim`).

    Each packs the blocks of its own share one after the other, in a heap of its own.
    """
    short = inner // THREADS > 8 * WIDE and columns > 1 and min(rows, columns) < 2 * WIDE
    return short and rows * columns * inner / 2 > THREADS * (START + THREADS * REDUCE)


def _written(found: list[tuple[int, int]], start: int, size: int, block: int, used: int, deep: int) -> int:
    """Add what is written of the blocks of one side of a slice, `used` elements of each of its rows, and return their end."""
    room = _whole(4 * block * deep, ALIGNMENT)
    for first in range(0, size, block):
        if used:
            found.append((start, start + 4 * used * min(block, size - first)))
        start += room
    return start


def _grain(cycles: float, blocks: int) -> int:
    """Blocks of a task: as many as stay below twice its cycles."""
    return max(1, min(blocks, int(2 * TASK / cycles)))


def _whole(size: int, step: int) -> int:
    return -(-size // step) * step
