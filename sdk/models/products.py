"""Products of a tensor with a weight (`einsum`, `tensordot`, `matmul`, `bmm`) as linear layers, which runtimes quantize."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from math import prod
from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import Rule, replace_calls
from sdk.models.constants import constants_of, value_of

LEAST = 256
"""Numbers of a weight that is worth the turns in front of its layer and behind; what has fewer stays as it is."""
MOST = 16
"""Layers that a weight with a matrix for each of so many parts (experts, heads, groups) becomes at most."""

Labels = tuple[Any, ...]
Operand = tuple[Any, Labels]
"""A node, and what its axes are called."""
Product = tuple[list[Operand], Labels]
"""Operands, and what the result's axes are called."""


def layers_from_products(module: Any) -> None:
    """Write a product of one tensor with one constant as a linear layer, or one for each part that both of them have.

    Axes are named as in an equation: those that both have and the result lacks are added up, those of the constant alone are
    channels out. Among several tensors of an equation, one whose axes another has too is multiplied in before.
    """
    import torch

    aten, constants = torch.ops.aten, constants_of(module)

    def rule(read: Callable[[dict[str, Any]], Product | None]) -> Rule:
        def write(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
            found = read(given)
            made = None if found is None else _written(node, *found, constants)
            return None if made is None else (made,)

        return write

    rules: dict[Any, Rule] = {
        aten.einsum.default: rule(_of_equation), aten.tensordot.default: rule(_of_axes),
        aten.matmul.default: rule(_of_matrices), aten.bmm.default: rule(_of_matrices), aten.mm.default: rule(_of_matrices),
    }  # fmt: skip
    replace_calls(module, rules)


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _of_equation(given: dict[str, Any]) -> Product:
    """An einsum."""
    nodes = given["tensors"]
    left, arrow, right = given["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    operands, rest = list[Operand](), tuple[Any, ...]()
    for node, term in zip(nodes, terms, strict=True):
        before, dots, after = term.partition("...")
        unnamed = len(_shape(node)) - len(before) - len(after)
        between = tuple(range(-unnamed, 0)) if dots else ()
        rest = max(rest, between, key=len)
        operands.append((node, (*before, *between, *after)))
    if not arrow:
        single = sorted(each for each in set(left) - set(",.") if left.count(each) == 1)
        return operands, (*rest, *single)
    before, dots, after = right.partition("...")
    return operands, (*before, *(rest if dots else ()), *after)


def _of_axes(given: dict[str, Any]) -> Product:
    """A tensordot."""
    left, right = given["self"], given["other"]
    rank, other = len(_shape(left)), len(_shape(right))
    names = list(range(rank, rank + other))
    summed = [axis % rank for axis in given["dims_self"]]
    for axis, mine in zip(given["dims_other"], summed, strict=True):
        names[axis % other] = mine
    kept = [each for each in (*range(rank), *names) if each not in summed]
    return [(left, tuple(range(rank))), (right, tuple(names))], tuple(kept)


def _of_matrices(given: dict[str, Any]) -> Product | None:
    """A product of stacked matrices; an axis that is broadcast has a name of its own."""
    left, right = given["self"], given.get("other") or given.get("mat2")
    if right is None or min(len(_shape(left)), len(_shape(right))) < 2:
        return None
    rank = max(len(_shape(left)), len(_shape(right)))
    fresh, found, shapes = count(rank), list[list[Any]](), (_shape(left), _shape(right))
    for shape, matrix in zip(shapes, (("row", "sum"), ("sum", "column")), strict=True):
        stack = list(range(rank - len(shape), rank - 2))
        for place, axis in enumerate(stack):
            others = shapes[1 - len(found)]
            there = axis - (rank - len(others))
            if shape[place] == 1 and there >= 0 and others[there] != 1:
                stack[place] = next(fresh)  # seen once and of one element
        found.append([*stack, *matrix])
    stacked = range(rank - 2)
    return [(left, tuple(found[0])), (right, tuple(found[1]))], (*stacked, "row", "column")


def _written(node: Any, operands: list[Operand], out: Labels, constants: dict[Any, bool]) -> Any:
    """The product as linear layers; None where it is none of a tensor and a constant, or nothing would be won."""
    weights = [each for each in operands if each[0] in constants]
    data = [each for each in operands if each[0] not in constants]
    if len(weights) != 1 or not data or prod(_shape(weights[0][0])) < LEAST:
        return None
    if not all(each.meta["val"].dtype.is_floating_point for each, _ in operands):
        return None
    sizes: dict[Any, int] = {}
    for value, labels in operands:
        sizes |= {each: size for each, size in zip(labels, _shape(value), strict=True) if each not in sizes}
        if len(set(labels)) != len(labels) or [sizes[each] for each in labels] != list(_shape(value)):
            return None  # a diagonal, or an axis that is broadcast
    data = _merged(node, data)
    value, labels = data[0]
    others = {each for _, names in data[1:] for each in names}
    weight, named = weights[0]
    kept = {*out, *others}
    added = [each for each in named if each in labels and each not in kept]
    parts = [each for each in named if each in labels and each in kept]
    made = [each for each in named if each not in labels]
    idle = [each for each in sizes if each not in kept and each not in added]
    if not added or any(sizes[each] > 1 for each in idle):
        return None
    if prod(sizes[each] for each in parts) > MOST or (constants[weight] and (parts or weight is operands[0][0])):
        return None  # what layers make of constants is no weight where it may be an attention's: queries of no input, say
    value, labels = _without(node, value, labels, idle)
    weight, named = _without(node, weight, named, idle)
    made = [each for each in made if each in named]
    rest = [each for each in labels if each not in added and each not in parts]
    result = _layers(node, (value, labels), (weight, named), (parts, rest, made, added), sizes)
    order = (*parts, *rest, *made)
    if len(data) > 1:
        names = {each: chr(ord("a") + place) for place, each in enumerate(sizes)}
        terms = ["".join(names[each] for each in axes) for axes in (order, *(axes for _, axes in data[1:]), out)]
        return call_before(node, node.target, f"{','.join(terms[:-1])}->{terms[-1]}", [result, *(each for each, _ in data[1:])])
    missing = [each for each in out if each not in order]  # of one element, and nobody's
    for _ in missing:
        result = call_before(node, _aten().unsqueeze.default, result, 0)
    return _turned(node, result, (*missing, *order), out)


def _aten() -> Any:
    import torch

    return torch.ops.aten


def _merged(node: Any, data: list[Operand]) -> list[Operand]:
    """The operands, those multiplied into the first whose axes it has too."""
    first = max(range(len(data)), key=lambda place: len(data[place][1]))
    (value, labels), left = data[first], list[Operand]()
    for other, names in [*data[:first], *data[first + 1 :]]:
        if set(names) <= set(labels):
            order = [each for each in labels if each in names]
            other = _turned(node, other, names, order)
            for place, each in enumerate(labels):
                if each not in names:
                    other = call_before(node, _aten().unsqueeze.default, other, place)
            value = call_before(node, _aten().mul.Tensor, value, other)
        else:
            left.append((other, names))
    return [(value, labels), *left]


def _without(node: Any, value: Any, labels: Labels, idle: Sequence[Any]) -> Operand:
    """A tensor without its axes among `idle`, which are of one element."""
    for each in idle:
        if each in labels:
            value = call_before(node, _aten().squeeze.dim, value, labels.index(each))
            labels = tuple(name for name in labels if name != each)
    return value, labels


def _turned(node: Any, value: Any, labels: Sequence[Any], order: Sequence[Any]) -> Any:
    """A tensor with its axes in another order."""
    places = [list(labels).index(each) for each in order]
    return value if places == sorted(places) else call_before(node, _aten().permute.default, value, places)


def _flat(node: Any, value: Any, first: int, axes: int) -> Any:
    """A tensor whose `axes` axes from `first` on are one."""
    if axes == 0:
        return call_before(node, _aten().unsqueeze.default, value, first)
    return value if axes == 1 else call_before(node, _aten().flatten.using_ints, value, first, first + axes - 1)


def _named(node: Any, matrix: Any) -> Any:
    """A matrix that is one parameter, which nothing else reads, in other axes, under the parameter's own name."""
    from sdk.models.rewrite import new_get_attr

    chain = [matrix]
    while chain[-1].op != "get_attr" and len(chain[-1].all_input_nodes) == 1:
        chain += chain[-1].all_input_nodes
    if chain[-1].op != "get_attr" or any(len(each.users) != 1 for each in chain[1:-1]) or set(chain[-1].users) - {*chain, node}:
        return matrix
    value = value_of(matrix, node.graph.owning_module)
    made = new_get_attr(node.graph.owning_module, chain[-1].target, value, node)
    made.meta["val"] = matrix.meta["val"].contiguous()
    return made


def _layers(node: Any, data: Operand, weight: Operand, axes: tuple[list[Any], ...], sizes: dict[Any, int]) -> Any:
    """The product with its axes in the order parts, rest, channels out; `axes`: those and the ones that are added up."""
    aten = _aten()
    parts, rest, made, added = axes
    value = _turned(node, *data, [*parts, *rest, *added])
    value = _flat(node, value, len(parts) + len(rest), len(added))
    value = value if rest else call_before(node, aten.unsqueeze.default, value, len(parts))
    matrix = _turned(node, *weight, [*parts, *made, *added])
    matrix = _flat(node, _flat(node, matrix, len(parts) + len(made), len(added)), len(parts), len(made))
    matrix = matrix if parts else _named(node, matrix)
    if parts:
        value, matrix = _flat(node, value, 0, len(parts)), _flat(node, matrix, 0, len(parts))
        each = [
            call_before(node, aten.linear.default, *(call_before(node, aten.select.int, side, 0, i) for side in (value, matrix)))
            for i in range(prod(sizes[name] for name in parts))
        ]
        result = call_before(node, aten.stack.default, each, 0)
    else:
        result = call_before(node, aten.linear.default, value, matrix)
    last = result.meta["val"].dim() - 1
    if len(made) != 1:
        result = (
            call_before(node, aten.unflatten.int, result, last, [sizes[name] for name in made]) if made
            else call_before(node, aten.squeeze.dim, result, last)
        )  # fmt: skip
    result = result if rest else call_before(node, aten.squeeze.dim, result, 1 if parts else 0)
    if len(parts) > 1:
        result = call_before(node, aten.unflatten.int, result, 0, [sizes[name] for name in parts])
    return result
