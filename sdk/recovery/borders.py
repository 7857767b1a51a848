"""Places of a graph where all that its layers computed is one tensor: there a block ends and the next begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def borders(module: Any, weights: Collection[str]) -> list[str]:
    """Return the names of the nodes behind which only their value depends on `weights`, but for the outputs.

    In a chain of layers that is every layer, in residual networks and transformers the end of every block. Of several
    between two layers the last counts.
    """
    nodes = list(module.graph.nodes)
    place = {node: index for index, node in enumerate(nodes)}
    last = {node: max((place[user] for user in node.users), default=-1) for node in nodes}
    outputs = next(node for node in nodes if node.op == "output").all_input_nodes
    moved: set[Any] = set()
    live: set[Any] = set()
    found: list[str] = []
    fresh = True
    for node in nodes:
        held = any(each.op == "get_attr" and each.target in weights for each in node.all_input_nodes)
        if node.op == "call_function" and (held or any(each in moved for each in node.all_input_nodes)):
            moved.add(node)
            live.add(node)
        fresh = fresh or held
        live = {each for each in live if last[each] > place[node]}
        if live == {node} and node not in outputs and _is_float(node):
            found = [*(found if fresh else found[:-1]), node.name]
            fresh = False
    return found


def observed(module: Any, names: Sequence[str]) -> Any:
    """Return `module`, changed so that the values of the nodes `names` follow its outputs."""
    import torch

    by_name = {node.name: node for node in module.graph.nodes}
    output = next(node for node in module.graph.nodes if node.op == "output")
    output.args = ((*output.args[0], *(by_name[name] for name in names)),)
    module.graph.set_codegen(torch.fx.graph.CodeGen())
    module.recompile()
    return module


def _is_float(node: Any) -> bool:
    value = node.meta.get("val")
    return hasattr(value, "is_floating_point") and bool(value.is_floating_point())
