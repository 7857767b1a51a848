"""Which nodes of a `.tflite` file XNNPACK takes, as LiteRT's own interpreter partitions the graph."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sdk.lowering import Placement

DELEGATE = "DELEGATE"
"""Name of the node that stands for a delegated part."""


def placement(path: Path) -> Placement:
    """Count nodes inside and outside of the delegate in every signature's graph; those of inner graphs (branches, loops) are
    unknown.
    """
    from targets.tflite.flatbuffer import write
    from targets.tflite.graphs import graphs
    from targets.tflite.run import open_bytes, open_file

    flats = graphs(path)
    if len(flats) == 1:
        return _count(open_file(path).nodes(), flats[0])
    found = [_count(open_bytes(write(flat), str(path)).nodes(), flat) for flat in flats]
    return Placement(
        sum(part.delegates for part in found), sum((Counter(part.delegated) for part in found), Counter()),
        sum((Counter(part.outside) for part in found), Counter()), sum((Counter(part.unknown) for part in found), Counter()),
    )  # fmt: skip


def _count(nodes: list[dict[str, Any]], flat: Any) -> Placement:
    from targets.tflite.flatbuffer import builtin_name

    parts = [node for node in nodes if node["op_name"] == DELEGATE]
    nodes = [node for node in nodes if node["op_name"] != DELEGATE]
    inside = set[int]().union(*(_covered(part, nodes) for part in parts))
    inner = (builtin_name(flat, op) for graph in flat.subgraphs[1:] for op in graph.operators)
    return Placement(
        delegates=len(parts),
        delegated=Counter(node["op_name"] for node in nodes if node["index"] in inside),
        outside=Counter(node["op_name"] for node in nodes if node["index"] not in inside),
        unknown=Counter(inner),
    )


def _covered(part: dict[str, Any], nodes: list[dict[str, Any]]) -> set[int]:
    """Indices of the nodes that a part replaces: those that lead from its inputs to its outputs."""
    makers = {int(tensor): node for node in nodes for tensor in node["outputs"]}
    borders = {int(tensor) for tensor in part["inputs"]}
    found: set[int] = set()
    open_ends = [int(tensor) for tensor in part["outputs"]]
    while open_ends:
        tensor = open_ends.pop()
        node = makers.get(tensor)
        if tensor in borders or node is None or node["index"] in found:
            continue
        found.add(node["index"])
        open_ends += [int(each) for each in node["inputs"]]
    return found
