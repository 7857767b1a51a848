"""Computes beforehand what is made of constants alone, such as resized positions, masks and gathered biases, where it hardly
makes the file larger."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from sdk.models.constants import value_of
from sdk.models.row_major import in_rows, reshape_views
from sdk.models.stateless import CHANCE

SHARE = 0.01
"""How much of the weights' float bytes all tables together may take beyond what they are made of."""
FILLS = ("zeros", "ones", "full", "scalar_tensor")
"""Operators whose results are no tables: the states that recurrent layers begin with are known by them."""


def fold_tables(module: Any) -> None:
    """Store what depends on no input, where an operator that does reads it, in the place of what it is made of.

    Lookups stay, because their weights are layers; their rows are stored. What would grow too much is left to run time, and
    what it is made of is looked at instead. Adding zeros, choosing one side everywhere, and what is made twice are left out.
    """
    values: dict[Any, Any] = {}
    found = _chosen(module, values)
    if found:
        reshape_views(module)  # what is stored may have other strides than the trace
    stored: dict[Any, Any] = {}
    for node in found:
        value, key = values[node]
        _drop_idle(module, node, value)
        if node.users:
            _put(module, node, value, key, stored)
    module.graph.eliminate_dead_code()
    _join_equal(module)


def _chosen(module: Any, values: dict[Any, Any]) -> list[Any]:
    """The nodes that are stored, in the order of the graph; their values, and what tells these apart, are added to `values`."""
    left, room = set[Any](), SHARE * sum(map(_bytes, [*module.parameters(), *module.buffers()]))
    while True:
        grown = _grown(module, left, values)
        if sum(grown.values()) <= room:
            return list(grown)
        left.add(max(grown, key=lambda node: grown[node]))


def _grown(module: Any, left: set[Any], values: dict[Any, Any]) -> dict[Any, int]:
    """The nodes that can be stored if those `left` are computed at run time, and bytes by which each makes the file larger."""
    from sdk.models.rewrite import attribute

    behind: dict[Any, frozenset[Any]] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            behind[node] = frozenset({node})
        elif node not in left and _is_plain(node) and all(each in behind for each in node.all_input_nodes):
            behind[node] = frozenset().union(*(behind[each] for each in node.all_input_nodes))
    spare = {
        node: _bytes(attribute(module, node.target)) if all(user in behind for user in node.users) else 0
        for node in behind if node.op == "get_attr"
    }  # fmt: skip
    found: dict[Any, int] = {}
    seen = set[Any]()
    for node in behind:
        inner = node.op == "get_attr" or all(user in behind for user in node.users)
        if inner or _name(node) in FILLS or not hasattr(node.meta.get("val"), "numel"):
            continue
        if node not in values:
            value = in_rows(value_of(node, module).detach())
            values[node] = value, (value.dtype, tuple(value.shape), sha256(value.numpy()).digest())
        value, key = values[node]
        need = 0 if key in seen else _bytes(value)
        seen.add(key)
        for source in behind[node]:
            taken = min(need, spare[source])
            spare[source], need = spare[source] - taken, need - taken
        found[node] = need
    return found


def _is_plain(node: Any) -> bool:
    """Whether a node computes the same in every run, and is no layer."""
    from sdk.models.layers import operators

    return _is_fixed(node) and node.target not in operators()


def _is_fixed(node: Any) -> bool:
    return node.op == "call_function" and _name(node) not in CHANCE


def _drop_idle(module: Any, node: Any, value: Any) -> None:
    """Take out what adds `value`, the node's, where it is zero everywhere, and what chooses by it where all its truths are equal,
    if the result has the shape and type of what is left."""
    for user in list(node.users):
        kept = None
        if _name(user) == "add" and len(user.args) == 2 and not user.kwargs and not value.any():
            kept = next((each for each in user.args if each is not node), None)
        elif _name(user) == "where" and user.args[0] is node and bool(value.all()) != bool((~value).all()):
            kept = user.args[1 if value.all() else 2]
        made, same = user.meta["val"], getattr(kept, "meta", {}).get("val")
        if same is not None and same.shape == made.shape and same.dtype == made.dtype:
            user.replace_all_uses_with(kept)
            module.graph.erase_node(user)


def _put(module: Any, node: Any, value: Any, key: Any, stored: dict[Any, Any]) -> None:
    """Let what is stored take the node's place; equal tables, of one `key`, are one."""
    if key not in stored:
        name = f"sdk_table_{len(stored)}"
        while hasattr(module, name):
            name += "_"
        module.register_buffer(name, value)
        with module.graph.inserting_before(node):
            stored[key] = module.graph.get_attr(name)
        stored[key].meta["val"] = in_rows(node.meta["val"])
    node.replace_all_uses_with(stored[key])


def _join_equal(module: Any) -> None:
    """Compute once what is left to be made of constants in several places."""
    constants, first = set[Any](), dict[Any, Any]()
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            constants.add(node)
        elif _is_fixed(node) and _name(node) not in FILLS and all(each in constants for each in node.all_input_nodes):
            same = first.setdefault(repr((node.target, node.args, node.kwargs)), node)
            if same is node:
                constants.add(node)
            else:
                node.replace_all_uses_with(same)
                module.graph.erase_node(node)


def _name(node: Any) -> str:
    return getattr(node.target, "__name__", "").partition(".")[0]


def _bytes(value: Any) -> int:
    return int(value.numel() * value.element_size())
