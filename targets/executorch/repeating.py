"""Puts the lowered steps of loops into the graph that repeats them, as the operator that ExecuTorch writes as jumps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from targets.executorch.loops import Loop, mark


def place_loops(edge: Any, loops: Sequence[Loop], lower: Callable[[Any], Any]) -> None:
    """Replace the marks of `loops` in a lowered program by what they stand for; `lower` is how an exported step is lowered.

    The toolchain's own way, a `scan` in the exported program, leaves its body to the plain kernels: XNNPACK's partitioner does
    not look into it, nor are the body's weights constants there.
    """
    import torch

    module = edge.exported_program().graph_module
    for node in list(module.graph.nodes):
        if node.op != "call_function" or getattr(node.target, "_op", None) is not mark():
            continue
        projected, states, number = node.args
        loop, read = loops[number], any(user.args[1] == len(states) for user in node.users)
        with torch.no_grad():
            step = lower(torch.export.export(loop.step, loop.example, strict=False))
        edge._named_data_store.merge_named_data_store(step._named_data_store.get_named_data_store_output())
        name = f"loop_{number}"
        module.add_module(name, _body(step.exported_program().graph_module, read))
        with module.graph.inserting_before(node):
            body = module.graph.get_attr(name)
            made = module.graph.call_function(torch.ops.higher_order.scan, (body, list(states), [projected], []))
        made.meta = {**node.meta, "val": tuple(node.meta["val"][: len(states) + read])}
        node.replace_all_uses_with(made)
        module.graph.erase_node(node)
    module.recompile()


def _body(step: Any, read: bool) -> Any:
    """A lowered step as the body of a loop, whose rows are the first state again if anything reads them."""
    import torch

    graph = torch.fx.Graph()
    new = list(graph.graph_copy(step.graph, {}))
    body = graph.output([*new, *new[:1]] if read else new)
    body.meta["val"] = [each.meta["val"] for each in body.args[0]]
    return torch.fx.GraphModule(step, graph)
