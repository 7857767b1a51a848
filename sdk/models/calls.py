"""Reads and writes calls of a graph, with what is known of their results."""

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


def arguments(node: Any) -> dict[str, Any]:
    """Return the arguments of a node by name, those that it leaves out included."""
    named = node.target._schema.arguments
    given = {**dict(zip((each.name for each in named), node.args, strict=False)), **node.kwargs}
    return {each.name: given.get(each.name, each.default_value) for each in named}


def metadata_of(value: Any, beside: Any) -> Any:
    """Return what the metadata of a graph, of which node `beside` is one, say of a tensor of the module."""
    mode = getattr(beside.meta["val"], "fake_mode", None)
    return mode.from_tensor(value, static_shapes=True) if mode is not None else value
