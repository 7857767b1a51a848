"""Writes LSTM and GRU cells, and GRU layers, as linears: Core ML's own GRU computes something else than torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.errors import LoweringError

STEPS = 512
"""Most steps of a GRU layer that are written out."""


def rules() -> dict[Any, Callable[[Any, dict[str, Any]], None]]:
    """Return, by operator, the function that replaces its node; `values` are the fake tensors by node name."""
    import torch

    aten = torch.ops.aten
    return {aten.lstm_cell.default: _lstm_cell, aten.gru_cell.default: _gru_cell, aten.gru.input: _gru}


class _Writer:
    """Short words for the few operators that cells are made of."""

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

    def gru_step(self, projected: Any, h: Any, weight: Any, bias: Any, size: int) -> Any:
        """One step: r, z, n gates from the projected input and the state."""
        state = self.linear(h, weight, bias)
        r = self.sigmoid(self.add(self.part(projected, 0, size), self.part(state, 0, size)))
        z = self.sigmoid(self.add(self.part(projected, 1, size), self.part(state, 1, size)))
        n = self.tanh(self.add(self.part(projected, 2, size), self.mul(r, self.part(state, 2, size))))
        return self.add(n, self.mul(z, self.sub(h, n)))


def _lstm_cell(node: Any, values: dict[str, Any]) -> None:
    write = _Writer(node.graph)
    x, (h, c), wih, whh, *biases = node.args
    bih, bhh = (*biases, None, None)[:2]
    size = values[h.name].shape[-1]
    gates = write.add(write.linear(x, wih, bih), write.linear(h, whh, bhh))
    i, f = write.sigmoid(write.part(gates, 0, size)), write.sigmoid(write.part(gates, 1, size))
    g, o = write.tanh(write.part(gates, 2, size)), write.sigmoid(write.part(gates, 3, size))
    cell = write.add(write.mul(f, c), write.mul(i, g))
    _replace(node, (write.mul(o, write.tanh(cell)), cell))


def _gru_cell(node: Any, values: dict[str, Any]) -> None:
    write = _Writer(node.graph)
    x, h, wih, whh, *biases = node.args
    bih, bhh = (*biases, None, None)[:2]
    size = values[h.name].shape[-1]
    _replace(node, (write.gru_step(write.linear(x, wih, bih), h, whh, bhh, size),))


def _gru(node: Any, values: dict[str, Any]) -> None:
    write = _Writer(node.graph)
    x, h0, weights, biased, layers, _, _, both, batch_first = node.args
    if batch_first:
        x = write.swap(x)
    shape = values[node.args[0].name].shape
    steps, size = shape[1 if batch_first else 0], values[h0.name].shape[-1]
    if steps > STEPS:
        raise LoweringError(f"coreml: GRU {node.name!r} runs over {steps} steps; at most {STEPS} are supported")
    per, directions, last = (4 if biased else 2), (2 if both else 1), []
    for layer in range(layers):
        outs = []
        for direction in range(directions):
            index = layer * directions + direction
            wih, whh, bih, bhh = (*weights[index * per:(index + 1) * per], None, None)[:4]
            projected, h = write.linear(x, wih, bih), write.select(h0, 0, index)
            states: list[Any] = [None] * steps
            for step in reversed(range(steps)) if direction else range(steps):
                h = states[step] = write.gru_step(write.select(projected, 0, step), h, whh, bhh, size)
            outs.append(write.stack(states, 0))
            last.append(h)
        x = write.cat(outs, 2) if both else outs[0]
    _replace(node, (write.swap(x) if batch_first else x, write.stack(last, 0)))


def _replace(node: Any, results: tuple[Any, ...]) -> None:
    """Put `results` where the node's outputs (through getitem, or the node itself) were used."""
    import operator

    for user in list(node.users):
        if user.target is operator.getitem:
            user.replace_all_uses_with(results[user.args[1]])
            node.graph.erase_node(user)
    if node.users:
        node.replace_all_uses_with(results[0])
    node.graph.erase_node(node)
