"""Writes recurrent layers as loops: one accelerated step that the runtime repeats, not operators of their own for each.

A layer that is written out has an accelerated part for every step, which packs the weights of its state again: a voice encoder
of three layers and 160 steps took a quarter of an hour to lower. What a layer's inputs are multiplied with is no part of its
loop: it is one product of the whole sequence.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sdk.models.cells import CellWriter, replace_outputs
from sdk.models.rewrite import attribute

ORDER = "sdk_backwards"
"""Prefix of the buffers that hold the numbers of all steps, last first."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One direction of one of the layers that a recurrent operator has.

    `step` is a GraphModule: from the states [batch, width] and the projected input of one step [batch, gates], of which `example`
    are such, it makes the next states.
    """

    step: Any = field(repr=False)
    example: tuple[Any, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How many gates a recurrent operator has, and what writes a step: of projected input, states, weight, bias and width."""

    gates: int
    step: Callable[..., Sequence[Any]]


def take_loops(module: Any) -> list[Loop]:
    """Put marks (see `mark`) in the place of a GraphModule's recurrent operators of known extents and constant weights.

    Returns what they stand for, by their numbers.
    """
    loops: list[Loop] = []
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _kinds() and _can_loop(node):
            with module.graph.inserting_before(node):
                replace_outputs(node, _sequence(module, node, loops))
    module.graph.eliminate_dead_code()
    module.recompile()
    return loops


@cache
def mark() -> Any:
    """Register and return the operator that stands for a loop until the rest of its graph is lowered.

    Of projected inputs [steps, batch, gates], initial states [batch, width] and its number it makes the last states and those of
    the first at all steps [steps, batch, width]: tensors of such shapes, for what it computes is nothing.
    """
    import torch

    def loop(projected: Any, states: Sequence[Any], number: int) -> list[Any]:
        return [*map(torch.empty_like, states), projected.new_empty(projected.shape[0], *states[0].shape)]

    schema = "(Tensor projected, Tensor[] states, int number) -> Tensor[]"
    made = torch.library.custom_op("snugfit_steps::loop", loop, mutates_args=(), schema=schema)
    made.register_fake(loop)
    return torch.ops.snugfit_steps.loop.default


@cache
def _kinds() -> dict[Any, _Kind]:
    import torch

    aten = torch.ops.aten

    def plain(activation: Any) -> _Kind:
        def step(write: CellWriter, x: Any, states: Sequence[Any], weight: Any, bias: Any, _: int) -> Sequence[Any]:
            return (write.graph.call_function(activation, (write.add(x, write.linear(*states, weight, bias)),)),)

        return _Kind(1, step)

    return {
        aten.lstm.input: _Kind(4, lambda write, x, states, *rest: write.lstm_step(x, *states, *rest)),
        aten.gru.input: _Kind(3, lambda write, x, states, *rest: (write.gru_step(x, *states, *rest),)),
        aten.rnn_tanh.input: plain(aten.tanh.default),
        aten.rnn_relu.input: plain(aten.relu.default),
    }


def _can_loop(node: Any) -> bool:
    fixed = all(isinstance(extent, int) for extent in node.args[0].meta["val"].shape)
    return fixed and all(each.op == "get_attr" for each in node.args[2])


def _sequence(module: Any, node: Any, loops: list[Loop]) -> tuple[Any, ...]:
    """Write all layers and directions of one operator, adding to `loops`; returns its outputs."""
    write = CellWriter(module.graph)
    x, given, parameters, biased, count, _, _, both, batch_first = node.args
    shape, states = x.meta["val"].shape, list(given) if isinstance(given, list | tuple) else [given]
    flat, directions = len(shape) == 2, 2 if both else 1
    if flat:
        x, states = write.wider(x, 1), [write.wider(each, 1) for each in states]
    elif batch_first:
        x = write.swap(x)
    steps, batch = (shape[0], 1) if flat else (shape[1], shape[0]) if batch_first else shape[:2]
    per, last = len(parameters) // (count * directions), []
    for layer in range(count):
        outputs = []
        for direction in range(directions):
            index = layer * directions + direction
            wih, *rest = parameters[index * per : (index + 1) * per]
            bih = rest.pop(1) if biased else None
            fed = write.linear(_backwards(module, x, steps) if direction else x, wih, bih)
            marked = module.graph.call_function(mark(), (fed, [write.select(each, 0, index) for each in states], len(loops)))
            loops.append(_loop(_kinds()[node.target], [attribute(module, each.target) for each in rest], biased, batch))
            *ends, rows = (module.graph.call_function(operator.getitem, (marked, k)) for k in range(len(states) + 1))
            outputs.append(_backwards(module, rows, steps) if direction else rows)
            last.append(ends)
        x = write.cat(outputs, 2) if both else outputs[0]
    ends = [write.stack([each[k] for each in last], 0) for k in range(len(states))]
    if flat:
        return (write.narrower(x, 1), *(write.narrower(each, 1) for each in ends))
    return (write.swap(x) if batch_first else x, *ends)


def _backwards(module: Any, rows: Any, steps: int) -> Any:
    """The rows of a sequence, last first: whole rows are copied, where `flip` goes by elements (25 times slower)."""
    import torch

    name = f"{ORDER}_{steps}"
    if not hasattr(module, name):
        module.register_buffer(name, torch.arange(steps - 1, -1, -1))
    order = module.graph.get_attr(name)
    return module.graph.call_function(torch.ops.aten.index_select.default, (rows, 0, order))


def _loop(kind: _Kind, tensors: Sequence[Any], biased: bool, batch: int) -> Loop:
    """The step of one cell, whose `tensors` are the state's weight, its bias if `biased`, and a projection if it has one."""
    import torch

    root, graph = torch.nn.Module(), torch.fx.Graph()
    names = ["weight", *(["bias"] if biased else []), "projection"][: len(tensors)]
    for name, tensor in zip(names, tensors, strict=True):
        root.register_buffer(name, tensor.detach())
    width, size = tensors[0].shape[1], tensors[0].shape[0] // kind.gates
    widths = [width, size] if kind.gates == 4 else [width]
    states = [graph.placeholder(f"state_{k}") for k in range(len(widths))]
    projected = graph.placeholder("projected")
    weight, *others = (graph.get_attr(name) for name in names)
    write = CellWriter(graph)
    new = list(kind.step(write, projected, states, weight, others[0] if biased else None, size))
    if names[-1] == "projection":
        new[0] = write.linear(new[0], others[-1])
    graph.output(tuple(new))
    example = (*(torch.zeros(batch, each) for each in widths), torch.zeros(batch, tensors[0].shape[0]))
    return Loop(torch.fx.GraphModule(root, graph), example)
