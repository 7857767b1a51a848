"""Cuts a model's graph into consecutive segments, each of which can be run and differentiated by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sdk.models import Layer
from sdk.models.rewrite import attribute


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of operators as a `torch.fx.GraphModule`, which shares the parameters of the model's own.

    `inputs` are the tensors that it reads, by node name: inputs of the model, or outputs of earlier segments. `outputs` are
    those of its own that later segments read or the model returns; of the last segment those alone that the model returns.
    """

    module: Any = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut(module: Any, runs: Sequence[Sequence[Layer]]) -> tuple[list[Segment], list[int]]:
    """Return the segments of `module`, and for each of `runs` (of its layers, in their order) the place of its segment.

    All operators that read a layer's weights are in one segment: runs between which that leaves no place for a cut share one.
    Of the places that there are the one is taken where the tensors that cross it are smallest.
    """
    operators = [node for node in module.graph.nodes if node.op == "call_function"]
    position = {node: i for i, node in enumerate(operators)}
    readers: dict[int, list[int]] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            found = [position[user] for user in node.users if user in position]
            readers.setdefault(id(attribute(module, node.target)), []).extend(found)
    spots = [[p for layer in run for w in layer.weights for p in readers[id(attribute(module, w))]] for run in runs]
    stops, places = [], [0] * len(runs)
    for i in range(1, len(runs)):
        before, behind = max(p for each in spots[:i] for p in each), min(p for each in spots[i:] for p in each)
        crossing = {stop: _crossing(operators, position, stop) for stop in range(before + 1, behind + 1)}
        best = min(crossing, key=lambda stop: crossing[stop], default=None)
        if best is not None and crossing[best] < math.inf:
            stops.append(best)
        places[i] = len(stops)
    edges = [0, *stops, len(operators)]
    returned = next(node for node in module.graph.nodes if node.op == "output").all_input_nodes
    return [
        _segment(module, operators[a:b], {n for n in operators[:b] if _read_behind(n, position, b)}, returned)
        for a, b in itertools.pairwise(edges)
    ], places


def _crossing(operators: Sequence[Any], position: dict[Any, int], stop: int) -> float:
    """Bytes of the tensors before `stop` that operators behind it read; infinite where one is no tensor."""
    values = [node.meta.get("val") for node in operators[:stop] if _read_behind(node, position, stop)]
    return sum(v.numel() * v.element_size() if hasattr(v, "element_size") else math.inf for v in values)


def _read_behind(node: Any, position: dict[Any, int], stop: int) -> bool:
    return any(position.get(user, -1) >= stop for user in node.users)


def _segment(module: Any, operators: Sequence[Any], read: set[Any], returned: Sequence[Any]) -> Segment:
    """`operators` as a graph of their own; `read`: what operators behind them read."""
    import torch

    graph, own, copies = torch.fx.Graph(), set(operators), dict[Any, Any]()
    inputs = dict.fromkeys(a for node in operators for a in node.all_input_nodes if a not in own and a.op != "get_attr")
    for node in inputs:
        copies[node] = graph.placeholder(node.name)

    def copied(node: Any) -> Any:
        if node not in copies:
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in operators:
        copies[node] = graph.node_copy(node, copied)
    outputs = list(dict.fromkeys(node for node in (*returned, *operators) if node in own and (node in read or node in returned)))
    graph.output(tuple(copies[node] for node in outputs))
    return Segment(torch.fx.GraphModule(module, graph), tuple(n.name for n in inputs), tuple(n.name for n in outputs))
