"""Puts a call into a graph, with what is known of its result."""

from __future__ import annotations

from typing import Any


def call_before(node: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a new call of `target` in front of `node`, whose metadata say what it makes of those of its arguments."""
    from torch.fx.node import map_arg

    with node.graph.inserting_before(node):
        made = node.graph.call_function(target, args, kwargs)
    values, words = map_arg((args, kwargs), lambda each: each.meta["val"])
    made.meta["val"] = target(*values, **words)
    return made
