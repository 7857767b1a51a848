"""What LiteRT's GPU delegate would take of a finished file: its largest part that the documented table covers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.lowering import Coverage, Outside
from targets.tflite.checks import checked
from targets.tflite.gpu_operators import Operation, objection, operation

BASIS = "by LiteRT's documented table, read against the file"


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the graph: the tensors it reads and makes, what it is, and why it stays on the CPU (None: it does not)."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operation: Operation
    why: str | None


def coverage(path: Path, table: dict[str, dict[str, str]], most: int) -> Coverage:
    """Read the file and say what the delegate takes in at most `most` parts; CheckFailed when the file is damaged."""
    nodes, ready = read_nodes(checked(path), table)
    parts = sorted(partitions(nodes, ready), key=len, reverse=True)
    taken = {index for part in parts[:most] for index in part}
    spare = f"it is in one of {len(parts)} parts that the GPU could take: the delegate takes {most} by default, the largest"
    outside: Counter[tuple[str, str]] = Counter()
    macs: Counter[tuple[str, str]] = Counter()
    for index, node in enumerate(nodes):
        if index not in taken:
            key = node.operation.name, node.why or spare
            outside[key] += 1
            macs[key] += macs_of(node.operation)
    return Coverage(
        macs=sum(macs_of(node.operation) for node in nodes),
        delegated=sum(macs_of(nodes[index].operation) for index in taken),
        partitions=min(most, len(parts)),
        outside=tuple(Outside(name, count, macs[name, why], why) for (name, why), count in outside.items()),
        basis=BASIS,
    )


def read_nodes(flat: Any, table: dict[str, dict[str, str]]) -> tuple[list[Node], frozenset[int]]:
    """Return the operators, and the tensors that are there before any of them runs.

    A dequantize of a stored tensor is part of the operator that reads it: the delegate unpacks float16 weights itself.
    """
    graph = flat.subgraphs[0]
    stored = {index for index, tensor in enumerate(graph.tensors) if flat.buffers[tensor.buffer].data is not None}
    nodes = []
    for op in graph.operators:
        found = operation(flat, op, frozenset(stored))
        if found.name == "DEQUANTIZE" and found.inputs[0].constant:
            stored.add(int(op.outputs[0]))
            continue
        inputs = tuple(int(i) for i in op.inputs if int(i) >= 0)
        nodes.append(Node(inputs, tuple(int(i) for i in op.outputs), found, objection(found, table)))
    return nodes, frozenset(stored | {int(i) for i in graph.inputs})


def partitions(nodes: Sequence[Node], ready: frozenset[int]) -> list[list[int]]:
    """Split the graph as the interpreter does: as many operators of one sort as can run, then of the other, and so on.

    Returns the parts of operators that the delegate takes.
    """
    known, left, found = set(ready), list(range(len(nodes))), []
    while left:
        part: list[int] = []
        sort: bool | None = None
        grew = True
        while grew:
            grew = False
            for index in list(left):
                node = nodes[index]
                fits = sort is None or sort == (node.why is None)
                if fits and all(tensor in known for tensor in node.inputs):
                    sort = node.why is None
                    part.append(index)
                    left.remove(index)
                    known.update(node.outputs)
                    grew = True
        if not part:  # what is left reads variables or hangs together in a loop, which no delegate takes
            break
        if sort:
            found.append(part)
    return found


def macs_of(op: Operation) -> int:
    """Multiply-accumulates of one operator; 0 for those that do not multiply by a matrix."""
    out = math.prod(op.outputs[0].shape) if op.outputs else 0
    if op.name in ("CONV_2D", "FULLY_CONNECTED"):
        return out * math.prod(op.inputs[1].shape[1:])
    if op.name == "DEPTHWISE_CONV_2D":
        return out * math.prod(op.inputs[1].shape[1:3])
    if op.name == "TRANSPOSE_CONV":
        return math.prod(op.inputs[2].shape) * math.prod(op.inputs[1].shape[:3])
    if op.name == "BATCH_MATMUL":
        return out * _shared_extent(op)
    return 0


def _shared_extent(op: Operation) -> int:
    left = op.inputs[0].shape
    return left[-2] if op.options is not None and op.options.adjX else left[-1]
