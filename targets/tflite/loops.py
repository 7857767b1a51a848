"""Writes recurrent layers as loops: their steps are one body that runs once for each, not operators of their own.

A layer that is written out packs the weights of its state for every step (480 copies in a voice encoder of three layers and 160
steps: 516 MB, where its loop takes 10 MB).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

MARK = "snugfit.loop."
"""Name, followed by a number, of the operator that stands for a loop during the conversion."""

@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrent layer, or one of its stacked layers where it runs in both directions, as it is converted.

    `weights` are the names of its parameters that schemes are for. `read`: which of the last states and outputs anything reads.
    `body` takes the step's number (int32 [1]), all inputs [steps, batch, inputs], the states [batch, width] and, where anything
    reads them, all outputs [steps, batch, width] of each direction, and returns them one step later; `example` are such tensors.
    """

    layer: str
    weights: tuple[str, ...]
    steps: int
    read: tuple[int, ...]
    body: Any = field(repr=False)
    example: tuple[Any, ...] = field(repr=False)


def take_loops(module: Any, layers: Sequence[Any]) -> list[Recurrence]:
    """Put marks in the place of the recurrent `layers` in `module` (a lifted graph), and return what they stand for."""
    found: dict[Any, Recurrence] = {}
    for layer in layers:
        node = next((each for each in module.graph.nodes if each.name == layer.fused[0]), None)
        if layer.kind in ("lstm", "gru") and node is not None and _can_loop(node):
            with module.graph.inserting_before(node):
                found |= _replace(module, layer, node)
    module.graph.eliminate_dead_code()
    marked = [(node, found[node]) for node in module.graph.nodes if node in found]
    loops = [_mark(node, loop, number) for number, (node, loop) in enumerate(marked)]
    module.recompile()
    return loops


def _mark(node: Any, loop: Recurrence, number: int) -> Recurrence:
    """Let a loop's mark have the outputs that are read: the converter fails on others."""
    read = tuple(sorted({user.args[1] for user in node.users}))
    node.target = _marking(number, [tuple(loop.example[2 + index].shape) for index in read])
    for user in list(node.users):
        user.args = (node, read.index(user.args[1]))
    return replace(loop, read=read)


def mark_number(name: str) -> int | None:
    """Number of the loop that an operator of this name stands for, or None."""
    return int(name.removeprefix(MARK)) if name.startswith(MARK) else None


def _can_loop(node: Any) -> bool:
    """Whether each cell has the common weights, and no projection."""
    parameters, biased, count, both = node.args[2], node.args[3], node.args[4], node.args[7]
    return bool(len(parameters) == count * (1 + both) * (4 if biased else 2))


def _of(states: Any, index: int) -> Any:
    """The initial h (0) or c (1) of all cells."""
    return states[index] if isinstance(states, list | tuple) else states


def _batch_first(node: Any) -> bool:
    return bool(node.args[8]) and node.args[0].meta["val"].dim() == 3


class _Words:
    """Short words for the few operators of the main graph."""

    def __init__(self, graph: Any) -> None:
        import torch

        self.graph, self.aten = graph, torch.ops.aten

    def swap(self, x: Any) -> Any:
        return self.graph.call_function(self.aten.transpose.int, (x, 0, 1))

    def select(self, x: Any, index: int) -> Any:
        return self.graph.call_function(self.aten.select.int, (x, 0, index))

    def wider(self, x: Any, axis: int) -> Any:
        return self.graph.call_function(self.aten.unsqueeze.default, (x, axis))

    def narrower(self, x: Any, axis: int) -> Any:
        return self.graph.call_function(self.aten.squeeze.dim, (x, axis))

    def cat(self, parts: Sequence[Any], axis: int) -> Any:
        return parts[0] if len(parts) == 1 else self.graph.call_function(self.aten.cat.default, (list(parts), axis))

    def stack(self, parts: Sequence[Any]) -> Any:
        return self.graph.call_function(self.aten.stack.default, (list(parts), 0))


def _replace(module: Any, layer: Any, node: Any) -> dict[Any, Recurrence]:
    """Write one recurrent layer as loops: one, or one for each stacked layer where it runs in both directions. By their marks."""
    import torch

    from sdk.models.cells import replace_outputs
    from sdk.models.rewrite import attribute

    words, kind = _Words(module.graph), layer.kind
    x, states, parameters, biased, count, _, _, both = node.args[:8]
    value = x.meta["val"]
    flat, first = value.dim() == 2, _batch_first(node)
    x = words.wider(x, 1) if flat else words.swap(x) if first else x
    shape = [value.shape[0], 1, value.shape[1]] if flat else [value.shape[int(first)], value.shape[1 - first], value.shape[2]]
    steps, batch, inputs = (int(size) for size in shape)
    names, per = [each.target for each in parameters], 4 if biased else 2
    cells = [[attribute(module, name) for name in names[start : start + per]] for start in range(0, len(names), per)]
    kinds = ("h", "c") if kind == "lstm" else ("h",)
    initial = [[words.select(_of(states, k), i) for k in range(len(kinds))] for i in range(len(cells))]
    if flat:
        initial = [[words.wider(each, 0) for each in cell] for cell in initial]
    read = any(user.target is not operator.getitem or user.args[1] == 0 for user in node.users)
    width, last = cells[0][1].shape[1], [[None] * len(kinds) for _ in cells]
    found: dict[Any, Recurrence] = {}
    groups = [[2 * k, 2 * k + 1] for k in range(count)] if both else [list(range(count))]
    for group in groups:
        shown = 0 if group is groups[-1] and not read else 1 + both
        body = _body(kind, [cells[i] for i in group], steps, both)
        example = (
            torch.zeros(1, dtype=torch.int32), torch.zeros(steps, batch, inputs),
            *(torch.zeros(batch, width) for _ in group for _ in kinds), *(torch.zeros(steps, batch, width) for _ in range(shown)),
        )
        made = module.graph.call_function(_marking(0, ()), (x, *(each for i in group for each in initial[i])))
        parts = [module.graph.call_function(operator.getitem, (made, k)) for k in range(len(example) - 2)]
        for place, i in enumerate(group):
            last[i] = parts[place * len(kinds) : (place + 1) * len(kinds)]
        weights = tuple(names[i * per + k] for i in group for k in (0, 1))
        found[made] = Recurrence(layer.name, weights, steps, (), body, example)
        if shown:
            x, inputs = words.cat(parts[-shown:], 2), shown * width
    results = [words.narrower(x, 1) if flat else words.swap(x) if first else x] if read else [None]
    for k in range(len(kinds)):
        each = words.stack([cell[k] for cell in last])
        results.append(words.narrower(each, 1) if flat else each)
    replace_outputs(node, tuple(results))
    return found


def _marking(number: int, shapes: Sequence[tuple[int, ...]]) -> Callable[..., Any]:
    """A function that the converter turns into one operator with as many outputs as a loop has: what it computes is nothing."""

    def mark(*inputs: Any) -> Any:
        import torch
        from litert_torch.hlfb import StableHLOCompositeBuilder

        builder = StableHLOCompositeBuilder(name=f"{MARK}{number}", attr={})
        marked = builder.mark_inputs(*inputs)
        marked = marked if isinstance(marked, tuple | list) else (marked,)
        some = sum(each.flatten()[:1].sum() for each in marked)  # an input that nothing reads would be dropped
        made = builder.mark_outputs(*(torch.zeros(shape) + some + place for place, shape in enumerate(shapes)))
        return made if isinstance(made, tuple | list) else (made,)

    mark.__name__ = f"loop_{number}"
    return mark


def _lstm(x: Any, states: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, ...]:
    """One step of a cell: h and c."""
    import torch

    linear, (h, c), (wih, whh, *biases) = torch.nn.functional.linear, states, weights
    gates = linear(x, wih, biases[0] + biases[1] if biases else None) + linear(h, whh)
    i, f, g, o = gates.chunk(4, -1)
    cell = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _gru(x: Any, states: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, ...]:
    """One step of a cell: h."""
    import torch

    linear, (h,), (wih, whh, bih, bhh) = torch.nn.functional.linear, states, (*weights, None, None)[:4]
    (xr, xz, xn), (hr, hz, hn) = linear(x, wih, bih).chunk(3, -1), linear(h, whh, bhh).chunk(3, -1)
    z, n = (xz + hz).sigmoid(), (xn + (xr + hr).sigmoid() * hn).tanh()
    return (n + z * (h - n),)


def _body(kind: str, cells: Sequence[Sequence[Any]], steps: int, both: bool) -> Any:
    """One step of some cells as a module (see `Recurrence`): of both directions of one layer, or of stacked layers."""
    import torch

    operators()
    ops, cell, held = torch.ops.snugfit_loops, _lstm if kind == "lstm" else _gru, 2 if kind == "lstm" else 1

    class Body(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.cells = torch.nn.ModuleList(torch.nn.ParameterList(each) for each in cells)

        def forward(self, step: Any, inputs: Any, *rest: Any) -> Any:
            places = [step, (steps - 1) - step] if both else [step]
            fed = [ops.take(inputs, place) for place in places]
            made: list[Any] = []
            for i, weights in enumerate(self.cells):
                found = cell(fed[i * both], rest[held * i : held * (i + 1)], list(weights))
                made += found
                if not both:
                    fed = [found[0]]
            ends = [made[0], made[held]] if both else fed
            outputs = rest[held * len(self.cells) :]  # none where nothing reads them
            new = [ops.put(rows, one, place) for rows, one, place in zip(outputs, ends, places, strict=bool(outputs))]
            return (step + 1, inputs, *made, *new)

    return Body().eval()


@cache
def operators() -> Any:
    """Register reading and writing one row of a tensor by its number, and how LiteRT's converter lowers them."""
    import jax
    import jax.numpy as jnp
    import torch
    from litert_torch.backend import jax_bridge
    from litert_torch.backend.lowerings import registry

    library = torch.library.Library("snugfit_loops", "DEF")
    library.define("take(Tensor rows, Tensor place) -> Tensor")
    library.define("put(Tensor rows, Tensor row, Tensor place) -> Tensor")
    library.impl("take", lambda rows, place: rows[int(place)].clone(), "CPU")
    library.impl("put", _put, "CPU")
    torch.library.register_fake("snugfit_loops::take", lambda rows, place: rows.new_empty(rows.shape[1:]), lib=library)
    torch.library.register_fake("snugfit_loops::put", lambda rows, row, place: torch.empty_like(rows), lib=library)

    def start(place: Any) -> tuple[Any, ...]:
        return place.reshape(()), jnp.int32(0), jnp.int32(0)

    def take(rows: Any, place: Any) -> Any:
        return jax.lax.dynamic_slice(rows, start(place), (1, *rows.shape[1:])).reshape(rows.shape[1:])

    def put(rows: Any, row: Any, place: Any) -> Any:
        return jax.lax.dynamic_update_slice(rows, row[None], start(place))

    registry.lower(torch.ops.snugfit_loops.take.default)(jax_bridge.wrap(take))
    registry.lower(torch.ops.snugfit_loops.put.default)(jax_bridge.wrap(put))
    return library


def _put(rows: Any, row: Any, place: Any) -> Any:
    made = rows.clone()
    made[int(place)] = row
    return made
