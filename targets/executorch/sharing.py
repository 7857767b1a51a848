"""Lets a finished .pte hold a weight once that it holds twice: a language model's tied embedding and head.

The lookup reads a constant of the program, the matrix product a named blob that the delegate packs when it is loaded: two
segments of the file. Where both hold the same bytes the blob's segment becomes a part of the constants'.
"""

from __future__ import annotations

from sdk.schemes import Scheme
from targets.executorch.flatbuffer import Table
from targets.executorch.program import open_bytes, read_calls, shared_blobs

LEAST = 1 << 12
"""Bytes of a weight that is worth it."""

STEP = 128
"""Bytes of which what is behind a blob left out moves up by a multiple: wherever it was aligned to, it stays so."""

_OFFSET = 0
"""Field of a segment: where it begins, behind the program."""


def stored_once(embedding: Scheme, head: Scheme) -> bool:
    """Whether the lookup's and the product's weights are the same bytes: codes of 8 bits, or float32.

    Codes of 4 bits are not: one has the first of two in the upper half of a byte, the other in the lower.
    """
    alike = (embedding.format, embedding.bits, embedding.granularity) == (head.format, head.bits, head.granularity)
    return alike and head.activations != "static" and (embedding.format, embedding.bits, embedding.granularity) in (
        ("int", 8, "channel"), ("float", 32, "tensor"),
    )  # fmt: skip


def shared(content: bytes) -> bytes:
    """Return the .pte without the blobs whose bytes its constants hold."""
    opened = open_bytes(content, "the program")
    owner = opened.root.table(5)
    if owner is None:
        return content
    entries = opened.root.tables(4)
    starts = [entry.scalar(_OFFSET, "Q") for entry in entries]
    constants = {len(c.data): c.data for call in read_calls(opened).values() for c in call.constants.values()}
    base, home = int.from_bytes(content[24:32], "little"), starts[owner.scalar(0, "I")]
    moved: dict[int, int] = {}
    already = shared_blobs(opened)
    for name, index in ((named.string(0), named.scalar(1, "I")) for named in opened.root.tables(7)):
        blob, same = opened.segments[index], constants.get(len(opened.segments[index]))
        if name not in already and len(blob) >= LEAST and same is not None and blob == same:
            moved[index] = home + _within(opened.constants[1], same)
    return _without(content, entries, starts, base, moved) if moved else content


def _within(whole: memoryview, part: memoryview) -> int:
    """Where a view of a segment begins in it."""
    import numpy as np

    return int(np.frombuffer(part, np.uint8).ctypes.data - np.frombuffer(whole, np.uint8).ctypes.data)


def _without(content: bytes, entries: list[Table], starts: list[int], base: int, moved: dict[int, int]) -> bytes:
    """Leave out the segments of `moved` (number → where its bytes are besides), and move up those behind."""
    order = sorted(range(len(entries)), key=starts.__getitem__)
    ends = [*(starts[n] for n in order[1:]), len(content) - base]
    made, tail, gone = bytearray(content[:base]), [], 0
    for index, end in zip(order, ends, strict=True):
        if index in moved:
            gone += (end - starts[index]) // STEP * STEP
            rest = (end - starts[index]) % STEP
            tail.append(bytes(rest))
        else:
            tail.append(content[base + starts[index] : base + end])
        place = entries[index].place(_OFFSET)
        if place is not None:  # else it begins at 0, where it stays
            made[place : place + 8] = (moved[index] if index in moved else starts[index] - gone).to_bytes(8, "little")
    made[32:40] = (len(content) - base - gone).to_bytes(8, "little")
    return bytes(made) + b"".join(tail)
