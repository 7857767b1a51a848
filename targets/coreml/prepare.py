"""Writes a model's graph in the operators that coremltools converts, without changing what it computes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sdk.errors import LoweringError
from sdk.models import Model

LARGEST = 3.0e4
"""What an infinite or float32-extreme mask value becomes: below float16's largest, and softmax sees no difference."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program for coremltools. `names`: parameter → the name its constant starts with.

    `lookups`: embedding weight → (name of the constant, rows, order of its axes) for every lookup whose indices are constant.
    `standing`: weights that the program has stand-ins of, by their number.
    """

    program: Any
    names: dict[str, str]
    lookups: dict[str, tuple[tuple[str, Any, tuple[int, ...]], ...]]
    standing: tuple[str, ...] = ()


def prepare(model: Model) -> Prepared:
    """Return `model` as an ExportedProgram whose operators coremltools knows."""
    import torch

    from targets.coreml.decoding import as_stateful, with_cache
    from targets.coreml.ranks import within_rank
    from targets.coreml.rewriting import rewrite, rewritten
    from targets.coreml.standins import stand_in

    planned = tuple(dict.fromkeys(w for layer in model.inventory.layers for w in layer.weights))
    standing = planned if model.language is not None else ()
    known = _known_operators(model.program, rewritten()) if model.language is None else model.program
    module = model.module() if standing else copy.deepcopy(known.module(check_guards=False))
    rewrite(module, _values(module, known), cached=model.language is not None)
    example = _widened(model, module) if model.language is None else with_cache(module, model.language)
    lookups = fold_constants(module, set(planned))
    stand_in(module, standing)
    _tame_extremes(module)
    _distinct_outputs(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    with torch.no_grad():
        program = torch.export.export(module, example, strict=False)
    program = _known_operators(program.run_decompositions({}), frozenset())
    within_rank(program.graph_module.graph)
    if model.language is not None:
        program = as_stateful(program, model.language)
    signature = program.graph_signature
    names = {n: p for table in (signature.inputs_to_parameters, signature.inputs_to_buffers) for p, n in table.items()}
    found = {w: tuple((names[f], *how) for f, *how in known) for w, known in lookups.items()}
    return Prepared(program, names, found, standing)


def _widened(model: Model, module: Any) -> tuple[Any, ...]:
    """The example with inputs of few bits, which ML programs do not take, as int32; LoweringError where they are computed with.

    A cast gives the same of both, also behind another order of axes; arithmetic would wrap around in one alone.
    """
    import torch

    narrow = (torch.uint8, torch.int8, torch.int16)
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for spec, node, value in zip(model.inputs, inputs, model.example, strict=True):
        if value.dtype in narrow and not _only_cast(node):
            raise LoweringError(
                f"coreml: input {spec.name} is {spec.dtype}, which Core ML does not take, and is computed with: cast it first "
                "(`x.float()`)"
            )
    return tuple(value.int() if value.dtype in narrow else value for value in model.example)


def _only_cast(node: Any) -> bool:
    """Whether nothing but casts reads the numbers of a node, as they are or in another order."""
    import torch

    aten = torch.ops.aten
    casts = (aten._to_copy.default, aten.to.dtype)
    moves = (
        aten.permute.default, aten.transpose.int, aten.view.default, aten.reshape.default, aten.unsqueeze.default,
        aten.squeeze.dim, aten.slice.Tensor, aten.select.int,
    )  # fmt: skip
    return all(user.target in casts or (user.target in moves and _only_cast(user)) for user in node.users)


def _values(module: Any, program: Any) -> dict[str, Any]:
    """Fake tensors by node name; an unpacked program names some inputs otherwise."""
    from sdk.models.rewrite import attribute

    fed = [n.meta["val"] for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs]
    values = {n.name: attribute(module, n.target) if n.op == "get_attr" else n.meta.get("val") for n in module.graph.nodes}
    inputs = [n.name for n in module.graph.nodes if n.op == "placeholder"]
    return values | dict(zip(inputs, fed, strict=True))


def fold_constants(module: Any, planned: set[str]) -> dict[str, list[tuple[str, Any, tuple[int, ...]]]]:
    """Compute what does not depend on the inputs once, and keep the results as buffers.

    `planned` weights are left alone, but for lookups of constant rows: those are returned, by weight, with the order that the
    graph brings their axes into next (a relative position bias), since the converter would make another constant of it.
    """
    import torch

    from sdk.models.rewrite import attribute

    values: dict[Any, Any] = _shaped_constants(module)
    lookups: dict[str, list[tuple[str, Any, tuple[int, ...]]]] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            if node.target not in planned:
                values[node] = attribute(module, node.target)
        elif _constant_lookup(node, values, planned):
            table, rows = node.args[0].target, values[node.args[1]]
            name = f"folded_{node.name}"
            last, order, ones = _reordered(node, rows.dim() + 1)
            _to_buffer(module, last, name, attribute(module, table)[rows].permute(order)[(None,) * ones])
            lookups.setdefault(table, []).append((name, rows, order))
        elif node.op == "call_function" and node not in values and _foldable(node, values):
            args = torch.fx.node.map_arg(node.args, lambda n: values[n])
            kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: values[n])
            with torch.no_grad():
                values[node] = node.target(*args, **kwargs)
    for count, node in enumerate(list(module.graph.nodes)):
        if node.op != "call_function" or node not in values or all(user in values for user in node.users):
            continue
        _to_buffer(module, node, f"folded_{count}", values[node], values)
    return lookups


def _shaped_constants(module: Any) -> dict[Any, Any]:
    """Values of `zeros_like` and its kin, which need their input's shape only."""
    import torch

    aten = torch.ops.aten
    fills = {aten.new_zeros.default: 0, aten.new_ones.default: 1, aten.zeros_like.default: 0, aten.ones_like.default: 1,
             aten.new_full.default: 2, aten.full_like.default: 1}
    values = {}
    for node in module.graph.nodes:
        like = node.meta.get("val") if node.op == "call_function" and node.target in fills else None
        if like is not None:
            given = node.args[fills[node.target]] if node.target in (aten.new_full.default, aten.full_like.default) else None
            fill = fills[node.target] if given is None else given
            values[node] = torch.full(tuple(like.shape), fill, dtype=like.dtype)
    return values


def _constant_lookup(node: Any, values: dict[Any, Any], planned: set[str]) -> bool:
    import torch

    return (node.op == "call_function" and node.target is torch.ops.aten.embedding.default
            and node.args[0].op == "get_attr" and node.args[0].target in planned and node.args[1] in values)


def _reordered(node: Any, axes: int) -> tuple[Any, tuple[int, ...], int]:
    """The last of the nodes that only order the axes of the one before, the order, and how many axes of 1 they put in front."""
    import torch

    aten, order, ones = torch.ops.aten, list(range(axes)), 0
    while len(node.users) == 1:
        user = next(iter(node.users))
        if user.target is aten.permute.default and not ones:
            order = [order[axis] for axis in user.args[1]]
        elif user.target is aten.transpose.int and not ones:
            first, second = user.args[1:3]
            order[first], order[second] = order[second], order[first]
        elif user.target is aten.unsqueeze.default and user.args[1] == 0:
            ones += 1
        else:
            break
        node = user
    return node, tuple(order), ones


def _to_buffer(module: Any, node: Any, name: str, value: Any, folded: Any = ()) -> None:
    """Use a buffer holding `value` instead of `node`, but for users that are folded themselves."""
    module.register_buffer(name, value.detach().clone().contiguous())
    with module.graph.inserting_before(node):
        made = module.graph.get_attr(name)
    node.replace_all_uses_with(made, delete_user_cb=lambda user: user not in folded)


def _foldable(node: Any, values: dict[Any, Any]) -> bool:
    import torch

    if any(source not in values for source in node.all_input_nodes):
        return False
    if not isinstance(node.target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    returned = node.target._schema.returns
    return len(returned) == 1 and isinstance(returned[0].type, torch.TensorType)


def _tame_extremes(module: Any) -> None:
    """Bring mask values such as -inf and float32's lowest into float16's range, also where a mask is multiplied by them: no mask
    times infinity is not a number."""
    import torch

    aten = torch.ops.aten
    fills = {aten.masked_fill.Scalar, aten.full.default, aten.where.ScalarOther, aten.where.ScalarSelf, aten.full_like.default,
             aten.scalar_tensor.default, aten.where.Scalar}
    fills |= {getattr(getattr(aten, name), kind) for name in ("mul", "add", "sub", "rsub") for kind in ("Tensor", "Scalar")}
    for node in module.graph.nodes:
        if node.target in fills:
            node.args = tuple(_tamed(a) if isinstance(a, float) else a for a in node.args)
    for _, buffer in module.named_buffers():
        if buffer.is_floating_point() and bool((buffer.abs() > 1e30).any()):
            buffer.data = torch.where(buffer.abs() > 1e30, buffer.sign() * LARGEST, buffer)


def _tamed(value: float) -> float:
    return value if abs(value) < 1e30 else LARGEST if value > 0 else -LARGEST


def _distinct_outputs(module: Any) -> None:
    """Give every output its own node: Core ML names one value once, and no input is an output."""
    import torch

    output = next(n for n in module.graph.nodes if n.op == "output")
    seen: set[Any] = set()

    def own(value: Any) -> Any:
        if value in seen or value.op in ("placeholder", "get_attr"):
            with module.graph.inserting_before(output):
                value = module.graph.call_function(torch.ops.aten.mul.Tensor, (value, 1))
        seen.add(value)
        return value

    output.args = torch.fx.node.map_arg(output.args, own)


def _known_operators(program: Any, spared: frozenset[Any]) -> Any:
    """Decompose what coremltools has no converter for, and nothing else; `spared` are rewritten by us."""
    before: set[Any] = set()
    while unknown := _unknown(program) - spared:
        if unknown == before:
            break
        before, program = unknown, program.run_decompositions(_decompositions(unknown))  # composites go without a table of ours
    else:
        return program
    lacking = ", ".join(sorted(map(str, unknown)))
    raise LoweringError(
        f"coreml: coremltools has no converter for {lacking}: write the model without, or choose another target"
    )


def _decompositions(operators: set[Any]) -> dict[Any, Any]:
    """Return torch's own decompositions of operators, where it has one."""
    import torch
    from torch._decomp import decomposition_table

    every = torch.export.default_decompositions()
    return {op: every[op] if op in every else decomposition_table[op] for op in operators
            if op in every or op in decomposition_table}


def _unknown(program: Any) -> set[Any]:
    from targets.coreml.converters import converts

    return {n.target for n in program.graph.nodes if n.op == "call_function" and not converts(n)}
