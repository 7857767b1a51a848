"""Writes GRU layers as linears: Core ML's own GRU computes something else than torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.errors import LoweringError
from sdk.models.cells import CellWriter, replace_outputs

STEPS = 512
"""Most steps of a GRU layer that are written out."""


def rules() -> dict[Any, Callable[[Any, dict[str, Any]], None]]:
    """Return, by operator, the function that replaces its node; `values` are the fake tensors by node name."""
    import torch

    return {torch.ops.aten.gru.input: _gru}


def _gru(node: Any, values: dict[str, Any]) -> None:
    write = CellWriter(node.graph)
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
    replace_outputs(node, (write.swap(x) if batch_first else x, write.stack(last, 0)))
