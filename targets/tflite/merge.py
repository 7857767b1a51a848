"""Puts several one-graph files into one: a signature each, with the weights that they have in common stored once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from targets.tflite.flatbuffer import place_code, read, schema, write

LARGE = 1 << 12
"""Bytes from which equal constants of one graph are stored once."""


def merged(parts: Mapping[str, bytes]) -> bytes:
    """Return one file of all `parts` (signature → file of one graph), in their order.

    Constants that two parts hold alike are stored once; those that one part holds twice stay two where they are small: only
    large ones are a weight of two layers.
    """
    made = schema().ModelT()
    made.version, made.description = 3, b"snugfit"
    made.subgraphs, made.signatureDefs, made.operatorCodes = [], [], []
    made.buffers = [schema().BufferT()]
    buffers: dict[tuple[bytes, int], int] = {}
    for name, data in parts.items():
        _add(made, read(data), name, buffers)
    return write(made, shared=None)


def _add(made: Any, part: Any, name: str, buffers: dict[tuple[bytes, int], int]) -> None:
    graph, signature = part.subgraphs[0], part.signatureDefs[0]
    numbers = _numbers(made, part.buffers, buffers)
    for tensor in graph.tensors:
        tensor.buffer = numbers[tensor.buffer]
    opcodes = [place_code(made, code) for code in part.operatorCodes]
    for op in graph.operators:
        op.opcodeIndex = opcodes[op.opcodeIndex]
    graph.name = signature.signatureKey = name.encode()
    signature.subgraphIndex = len(made.subgraphs)
    made.subgraphs.append(graph)
    made.signatureDefs.append(signature)


def _numbers(made: Any, found: Any, buffers: dict[tuple[bytes, int], int]) -> list[int]:
    """Where the file has each buffer of a part, which is added when it is new; `buffers`: content and repetition → index."""
    seen: Counter[bytes] = Counter()
    numbers = []
    for buffer in found:
        if buffer.data is None or not len(buffer.data):
            numbers.append(0)
            continue
        digest = hashlib.sha256(memoryview(buffer.data)).digest()
        key = (digest, seen[digest] if len(buffer.data) < LARGE else 0)
        seen[digest] += 1
        if key not in buffers:
            buffers[key] = len(made.buffers)
            made.buffers.append(buffer)
        numbers.append(buffers[key])
    return numbers
