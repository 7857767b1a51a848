"""Puts the bodies of loops into the file of the graph that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from targets.tflite.flatbuffer import (
    builtin_name,
    new_buffer,
    new_operator,
    new_tensor,
    place_code,
    read,
    schema,
    type_names,
    write,
)
from targets.tflite.loops import Recurrence, mark_number

CONDITION, BODY = 1, 2
"""Places of the first loop's graphs in the file; those of each further loop are two behind."""


def make_loops(flat: Any, loops: Sequence[Recurrence]) -> None:
    """Write the marks in a converted `flat` (ModelT) as the operators that run `loops`, and drop what the marks compute."""
    graph = flat.subgraphs[0]
    for op in list(graph.operators):
        number = mark_number(op.builtinOptions2.name.decode()) if builtin_name(flat, op) == "STABLEHLO_COMPOSITE" else None
        if number is not None:
            _make_loop(flat, op, number, loops[number])
    graphs = [each for each in flat.subgraphs if mark_number((each.name or b"").decode().removesuffix(".impl")) is None]
    flat.subgraphs = graphs


def _make_loop(flat: Any, mark: Any, number: int, loop: Recurrence) -> None:
    import numpy as np

    graph, options = flat.subgraphs[0], schema().WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = CONDITION + 2 * number, BODY + 2 * number
    given = [int(each) for each in mark.inputs]
    results = dict(zip(loop.read, (int(each) for each in mark.outputs), strict=True))
    shown = len(loop.example) - 1 - len(given)  # outputs of all steps, which begin as zeros
    first = new_tensor(flat, "", [1], "INT32", np.zeros(1, np.int32))
    fills, zeros = [], []
    for example in loop.example[len(loop.example) - shown :]:
        shape = new_tensor(flat, "", [example.dim()], "INT32", np.asarray(example.shape, np.int32))
        zero = new_tensor(flat, "", [], "FLOAT32", np.zeros(1, np.float32))
        zeros.append(new_tensor(flat, "", example.shape, "FLOAT32"))
        fills.append(new_operator(flat, "FILL", [shape, zero], zeros[-1:]))
    new = [
        results[index - 2] if index - 2 in results else new_tensor(flat, "", each.shape, "FLOAT32" if index else "INT32")
        for index, each in enumerate(loop.example)
    ]
    made = new_operator(flat, "WHILE", [first, *given, *zeros], new, options)
    place = next(i for i, each in enumerate(graph.operators) if each is mark)
    graph.operators[place : place + 1] = [*fills, made]


def stitched(data: bytes, bodies: Sequence[tuple[int, bytes]], shared: frozenset[int]) -> bytes:
    """Return the file `data` with the graphs of its loops, each of which is (steps, file of its body).

    `shared`: see `flatbuffer.write`.
    """
    if not bodies:
        return data
    flat = read(data)
    for steps, body in bodies:
        part = read(body)
        graph = part.subgraphs[0]
        buffers = {i: 0 if buffer.data is None else new_buffer(flat, buffer.data) for i, buffer in enumerate(part.buffers)}
        codes = [place_code(flat, code) for code in part.operatorCodes]
        for tensor in graph.tensors:
            tensor.buffer = buffers[tensor.buffer]
        for op in graph.operators:
            op.opcodeIndex = codes[op.opcodeIndex]
        flat.subgraphs += [_condition(flat, graph, steps), graph]
    return write(flat, shared)


def _condition(flat: Any, body: Any, steps: int) -> Any:
    """The graph that says whether another step follows, of the same inputs as the `body`."""
    import numpy as np

    graph = schema().SubGraphT()
    graph.name, graph.tensors = b"", []
    main, flat.subgraphs[0] = flat.subgraphs[0], graph  # where new tensors go
    for number in body.inputs:
        tensor = body.tensors[number]
        new_tensor(flat, "", tensor.shape, type_names()[tensor.type])
    graph.inputs = np.arange(len(body.inputs), dtype=np.int32)
    last = new_tensor(flat, "", [1], "INT32", np.asarray([steps], np.int32))
    more = new_tensor(flat, "", [1], "BOOL")
    graph.outputs = np.asarray([more], np.int32)
    graph.operators = [new_operator(flat, "LESS", [0, last], [more], schema().LessOptionsT())]
    flat.subgraphs[0] = main
    return graph
