"""Recurrent cells, which take one step, as what they are: two linear layers and arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sdk.models.calls import arguments

Rule = Callable[[Any, dict[str, Any]], tuple[Any, ...] | None]
"""Writes a call otherwise, by its node and its arguments."""


def plain_cells(module: Any) -> None:
    """Write `lstm_cell` and `gru_cell` out, so that their two weights are linear layers, which every target can quantize."""
    import torch

    aten = torch.ops.aten
    written = {aten.lstm_cell.default: _lstm_cell, aten.gru_cell.default: _gru_cell}
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in written:
            with module.graph.inserting_before(node):
                results = written[node.target](node)
            replace_outputs(node, results)


def replace_calls(module: Any, rules: Mapping[Any, Rule]) -> None:
    """Write every call of an operator in `rules` as its rule does: (node, its arguments by name) → what takes the place of the
    outputs, as for `replace_outputs`; None where the call stays."""
    for node in list(module.graph.nodes):
        rule = rules.get(node.target) if node.op == "call_function" else None
        made = rule(node, arguments(node)) if rule is not None else None
        if made is not None:
            replace_outputs(node, made)


def replace_outputs(node: Any, results: tuple[Any, ...]) -> None:
    """Put `results` where the node's outputs (through getitem, or the node itself) were used, and erase it.

    They get the outputs' metadata, which the layer behind may read. The result of an output that nothing reads may be None.
    """
    for user in list(node.users):
        if user.target is operator.getitem:
            _replace(user, results[user.args[1]])
            node.graph.erase_node(user)
    if node.users:
        _replace(node, results[0])
    node.graph.erase_node(node)


def _replace(node: Any, result: Any) -> None:
    if result is not None and "val" in node.meta:
        result.meta.setdefault("val", node.meta["val"])
    node.replace_all_uses_with(result)


class CellWriter:
    """Short words for the few operators that cells and their sequences are made of; it writes where the graph inserts."""

    def __init__(self, graph: Any) -> None:
        import torch

        self.graph, self.aten = graph, torch.ops.aten

    def linear(self, *args: Any) -> Any:
        return self.graph.call_function(self.aten.linear.default, args)

    def part(self, x: Any, index: int, size: int) -> Any:
        return self.graph.call_function(self.aten.slice.Tensor, (x, -1, index * size, (index + 1) * size))

    def add(self, x: Any, y: Any) -> Any:
        return self.graph.call_function(self.aten.add.Tensor, (x, y))

    def sub(self, x: Any, y: Any) -> Any:
        return self.graph.call_function(self.aten.sub.Tensor, (x, y))

    def mul(self, x: Any, y: Any) -> Any:
        return self.graph.call_function(self.aten.mul.Tensor, (x, y))

    def sigmoid(self, x: Any) -> Any:
        return self.graph.call_function(self.aten.sigmoid.default, (x,))

    def tanh(self, x: Any) -> Any:
        return self.graph.call_function(self.aten.tanh.default, (x,))

    def select(self, x: Any, axis: int, index: int) -> Any:
        return self.graph.call_function(self.aten.select.int, (x, axis, index))

    def stack(self, xs: list[Any], axis: int) -> Any:
        return self.graph.call_function(self.aten.stack.default, (xs, axis))

    def cat(self, xs: list[Any], axis: int) -> Any:
        return self.graph.call_function(self.aten.cat.default, (xs, axis))

    def swap(self, x: Any) -> Any:
        return self.graph.call_function(self.aten.permute.default, (x, [1, 0, 2]))

    def wider(self, x: Any, axis: int) -> Any:
        return self.graph.call_function(self.aten.unsqueeze.default, (x, axis))

    def narrower(self, x: Any, axis: int) -> Any:
        return self.graph.call_function(self.aten.squeeze.dim, (x, axis))

    def gru_step(self, projected: Any, h: Any, weight: Any, bias: Any, size: int) -> Any:
        """One step: r, z, n gates from the projected input and the state."""
        state = self.linear(h, weight, bias)
        r = self.sigmoid(self.add(self.part(projected, 0, size), self.part(state, 0, size)))
        z = self.sigmoid(self.add(self.part(projected, 1, size), self.part(state, 1, size)))
        n = self.tanh(self.add(self.part(projected, 2, size), self.mul(r, self.part(state, 2, size))))
        return self.add(n, self.mul(z, self.sub(h, n)))

    def lstm_step(self, projected: Any, h: Any, c: Any, weight: Any, bias: Any, size: int) -> tuple[Any, Any]:
        """One step: i, f, g, o gates from the projected input and the state h; returns h and c."""
        gates = self.add(projected, self.linear(h, weight, bias))
        i, f = self.sigmoid(self.part(gates, 0, size)), self.sigmoid(self.part(gates, 1, size))
        g, o = self.tanh(self.part(gates, 2, size)), self.sigmoid(self.part(gates, 3, size))
        cell = self.add(self.mul(f, c), self.mul(i, g))
        return self.mul(o, self.tanh(cell)), cell


def _lstm_cell(node: Any) -> tuple[Any, ...]:
    write = CellWriter(node.graph)
    x, (h, c), wih, whh, *biases = node.args
    bih, bhh = (*biases, None, None)[:2]
    return write.lstm_step(write.linear(x, wih, bih), h, c, whh, bhh, node.meta["val"][0].shape[-1])


def _gru_cell(node: Any) -> tuple[Any, ...]:
    write = CellWriter(node.graph)
    x, h, wih, whh, *biases = node.args
    bih, bhh = (*biases, None, None)[:2]
    return (write.gru_step(write.linear(x, wih, bih), h, whh, bhh, node.meta["val"].shape[-1]),)
