"""Prepares a model's graph for conversion so that the converter cannot merge other constants into a layer's weight.

The LiteRT converter multiplies constants into the weights next to them (a layer norm's gamma into the linear
behind it), which would take the weight off its grid, and takes the bias of a linear through a linear behind it,
whose activations would then be quantized without that bias. A linear that a ReLU and a factor read it writes twice,
the second in floats with the factor in its weight. Such constants are passed as extra inputs during conversion
and become constants of the file afterwards. Lookups with constant indices keep only the rows that they read.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

from sdk.models import Model
from targets.tflite.images import IMAGE, as_channels, as_images, as_last
from targets.tflite.integers import plain_integers
from targets.tflite.powers import flat_powers


@dataclass(slots=True)
class Lifted:
    """A graph ready for conversion.

    `module` takes the model's inputs followed by `values` (the lifted constants). `weights`: parameter name →
    the array that the converter sees (the true weight, or a changed one where two layers hold equal weights).
    `rows`: parameter name → the rows of an embedding that constant lookups read. `stand_ins`: index in `values` → the parameter
    of whose shape that input is.
    """

    module: Any
    values: list[Any] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    stand_ins: dict[int, str] = field(default_factory=dict)


def lift(model: Model, bare: bool = False) -> Lifted:
    """Return the model's graph with constants near layers lifted to inputs; a `bare` one has stand-ins of the layers' weights."""
    import torch

    module = model.module()
    module.graph.set_codegen(torch.fx.graph.CodeGen())
    lifted = Lifted(module)
    names = {w for layer in model.inventory.layers for w in layer.weights}
    plain_integers(module)
    flat_powers(module)
    _crop_transposed(module)
    _broadcast(module)
    as_images(module)
    _read_places(module)
    _trim_lookups(lifted, names)
    _keep_whole(lifted)
    for node in list(module.graph.nodes):
        if node.op == "call_function" and _feeds_layer(node, names):
            _lift_operands(lifted, node)
    if bare:
        from targets.tflite.standins import stand_in

        stand_in(lifted, model)
    else:
        _tell_apart(lifted, model)
    module.graph.eliminate_dead_code()
    module.graph.lint()
    module.recompile()
    return lifted


def _broadcast(module: Any) -> None:
    """Let arithmetic read what is expanded for it as it was: it broadcasts by itself.

    Where the converter changes the layout it leaves the sizes of an `expand` in the old order.
    """
    import torch

    for node in [each for each in module.graph.nodes if each.target is torch.ops.aten.expand.default]:
        for user in [each for each in node.users if _packet(each) in _operators()["arithmetic"]]:
            found = [(node.args[0] if each is node else each).meta.get("val") for each in user.all_input_nodes]
            shapes = [each.shape for each in found if each is not None]
            if len(shapes) == len(found) and torch.broadcast_shapes(*shapes) == user.meta["val"].shape:
                user.replace_input_with(node, node.args[0])


def _operators() -> dict[str, frozenset[Any]]:
    """Operators by the part they play: lookups, those that only move values, and those with constant operands."""
    import torch

    aten = torch.ops.aten
    moves = ("view", "reshape", "permute", "transpose", "unsqueeze", "squeeze", "flatten", "expand", "contiguous", "t",
             "pad", "constant_pad_nd", "slice", "_unsafe_view", "clone", "unflatten")
    return {
        "moves": frozenset(getattr(aten, name) for name in moves),
        "arithmetic": frozenset({aten.mul, aten.add, aten.sub, aten.div}),
        "norms": frozenset({aten.layer_norm, aten.native_layer_norm, aten.group_norm, aten.native_group_norm,
                            aten.rms_norm, aten.instance_norm}),
        "biased": frozenset({aten.linear}),
    }


def _packet(node: Any) -> Any:
    return getattr(node.target, "overloadpacket", node.target)


def _feeds_layer(node: Any, weights: set[str]) -> bool:
    """Whether the output of `node`, unless it is integers, reaches a layer's operator through nothing but data movement."""
    table = _operators()
    if _packet(node) not in table["arithmetic"] | table["norms"] | table["biased"] or not _is_float(node):
        return False
    todo, seen = list(node.users), set()
    while todo:
        user = todo.pop()
        if user in seen or user.op != "call_function":
            continue
        seen.add(user)
        if any(getattr(a, "op", None) == "get_attr" and a.target in weights for a in user.all_input_nodes):
            return True
        if _packet(user) in table["moves"] or user.target is operator.getitem:
            todo.extend(user.users)
    return False


def _is_float(node: Any) -> bool:
    value = node.meta.get("val")  # a node that was made here has none, and is one of floats
    return not hasattr(value, "is_floating_point") or bool(value.is_floating_point())


def _lift_operands(lifted: Lifted, node: Any) -> None:
    """Turn the constant operands of an operator (tensors and plain numbers) into inputs."""
    import torch

    arithmetic = _packet(node) in _operators()["arithmetic"]
    if not any(isinstance(a, torch.fx.Node) and not is_constant(a) for a in node.args):
        return
    first = 2 if _packet(node) in _operators()["biased"] else 0  # its weight stays what it is
    for index, value in list(enumerate(node.args))[first:]:
        if isinstance(value, torch.fx.Node) and is_constant(value):
            found = evaluate(lifted.module, value).detach().clone().contiguous()
            node.update_arg(index, as_channels(lifted.module, node, new_input(lifted, as_last(found)), found))
        elif arithmetic and index < 2 and isinstance(value, int | float) and "out_dtype" not in node.kwargs:
            axes = IMAGE if getattr(node.meta.get("val"), "ndim", 0) == IMAGE else 0
            node.update_arg(index, new_input(lifted, torch.full([1] * axes, float(value))))
            if node.target in _scalar_forms():
                node.target = _scalar_forms()[node.target]


def _keep_whole(lifted: Lifted) -> None:
    """Lift what scales a linear that a ReLU reads too; a PReLU is such a pair, and a negation is a factor."""
    import torch

    aten = torch.ops.aten
    rectified = {aten.relu, aten.relu_, aten.relu6, aten.hardtanh, aten.prelu}
    for linear in [node for node in lifted.module.graph.nodes if node.target is aten.linear.default]:
        readers = _readers(linear)
        if rectified.isdisjoint(map(_packet, readers)):
            continue
        for reader in readers:
            if _packet(reader) in (aten.mul, aten.div):
                _lift_operands(lifted, reader)
            elif _packet(reader) in (aten.neg, aten.prelu):
                _scale_apart(lifted, reader)


def _readers(node: Any) -> list[Any]:
    """What reads a node, also through nothing but data movement."""
    moves = _operators()["moves"]
    return [r for user in node.users for r in (_readers(user) if _packet(user) in moves else [user])]


def _scale_apart(lifted: Lifted, node: Any) -> None:
    """Write a negation, or the one inside a PReLU, as a product with an input: relu(x) - slope * relu(-x)."""
    import torch

    aten, call, x = torch.ops.aten, lifted.module.graph.call_function, node.args[0]
    minus = new_input(lifted, torch.tensor(-1.0))
    with lifted.module.graph.inserting_before(node):
        made = call(aten.mul.Tensor, (x, minus))
        if _packet(node) is aten.prelu:
            slope = evaluate(lifted.module, node.args[1]).detach()  # of channels, which are the second axis
            slope = new_input(lifted, slope.reshape(-1, *[1] * (node.meta["val"].ndim - 2)).clone())
            made = call(aten.mul.Tensor, (call(aten.relu.default, (made,)), slope))
            made = call(aten.sub.Tensor, (call(aten.relu.default, (x,)), made))
    node.replace_all_uses_with(made)
    lifted.module.graph.erase_node(node)


def _scalar_forms() -> dict[Any, Any]:
    import torch

    aten = torch.ops.aten
    return {aten.mul.Scalar: aten.mul.Tensor, aten.add.Scalar: aten.add.Tensor, aten.sub.Scalar: aten.sub.Tensor,
            aten.div.Scalar: aten.div.Tensor}


def new_input(lifted: Lifted, value: Any) -> Any:
    """Add an input that only serves the conversion, and return its node."""
    placeholders = [n for n in lifted.module.graph.nodes if n.op == "placeholder"]
    anchor = placeholders[-1] if placeholders else next(iter(lifted.module.graph.nodes)).prev
    with lifted.module.graph.inserting_after(anchor):
        made = lifted.module.graph.placeholder(f"lifted_{len(lifted.values)}")
    lifted.values.append(value)
    return made


def is_constant(node: Any) -> bool:
    """Whether a node's value depends on no input of the model."""
    todo, seen = [node], set()
    while todo:
        current = todo.pop()
        if current.op == "placeholder":
            return False
        if current not in seen:
            seen.add(current)
            todo.extend(current.all_input_nodes)
    return True


def evaluate(module: Any, node: Any) -> Any:
    """Compute the value of a constant node."""
    import torch

    def value(item: Any) -> Any:
        return torch.fx.node.map_arg(item, lambda n: evaluate(module, n))

    if node.op == "get_attr":
        return operator.attrgetter(node.target)(module)
    with torch.no_grad():
        return node.target(*value(node.args), **value(node.kwargs))


def _crop_transposed(module: Any) -> None:
    """Write a transposed convolution with output padding, which the converter refuses, as a full one and a crop."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.target not in (aten.conv_transpose1d.default, aten.conv_transpose2d.input):
            continue
        rank = 1 if node.target is aten.conv_transpose1d.default else 2
        given = [*node.args[3:], *([1], [0], [0], 1, [1])[max(len(node.args) - 3, 0) :]]
        stride, padding, extra, dilation = ([int(v) for v in (list(given[i]) * rank)[:rank]] for i in (0, 1, 2, 4))
        if not any(extra) or any(e > p for e, p in zip(extra, padding, strict=True)):
            continue
        sizes = [int(s) for s in node.meta["val"].shape[2:]] if "val" in node.meta else None
        node.args = (*_three(node.args), stride, [0] * rank, [0] * rank, given[3], dilation)
        _crop(module, node, padding, extra, sizes)


def _three(args: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    return args[0], args[1], args[2] if len(args) > 2 else None


def _crop(module: Any, node: Any, padding: list[int], extra: list[int], sizes: list[int] | None) -> None:
    """Slice the full result of a transposed convolution: `padding` off the front, `padding - extra` off the back."""
    import torch

    users, last = list(node.users), node
    for axis, (before, more) in enumerate(zip(padding, extra, strict=True)):
        end = before + sizes[axis] if sizes else (more - before or 2**62)
        with module.graph.inserting_after(last):
            last = module.graph.call_function(torch.ops.aten.slice.Tensor, (last, 2 + axis, before, end))
    for user in users:
        user.replace_input_with(node, last)


def _read_places(module: Any) -> None:
    """Gather what `topk` chooses by its places where nothing else reads them: the converter would write a sort."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target is not aten.topk.default:
            continue
        if any(user.args[1] == 1 and user.users for user in node.users):
            continue
        source, axis = node.args[0], node.args[2] if len(node.args) > 2 else -1
        with module.graph.inserting_after(node):
            places = module.graph.call_function(operator.getitem, (node, 1))
        with module.graph.inserting_after(places):
            chosen = module.graph.call_function(aten.gather.default, (source, axis, places))
        for user in [each for each in node.users if each.args[1] == 0]:
            chosen.meta.update(user.meta)
            user.replace_all_uses_with(chosen)


def _trim_lookups(lifted: Lifted, weights: set[str]) -> None:
    """Keep of an embedding that only constant indices read the rows that they read, and look them up at run time."""
    import torch

    module = lifted.module
    for node in [n for n in module.graph.nodes if n.target is torch.ops.aten.embedding.default]:
        table, indices = node.args[:2]
        if table.op != "get_attr" or table.target not in weights or len(table.users) != 1 or not is_constant(indices):
            continue
        used, positions = torch.unique(evaluate(module, indices), return_inverse=True)
        weight = operator.attrgetter(table.target)(module)
        set_weight(module, table.target, weight[used])
        lifted.rows[table.target] = used.numpy()
        node.update_arg(1, new_input(lifted, positions.to(torch.int64).contiguous()))


def set_weight(module: Any, name: str, value: Any) -> None:
    """Replace the parameter `name` by a tensor of any shape."""
    import torch

    owner, _, leaf = name.rpartition(".")
    parent = module.get_submodule(owner) if owner else module
    delattr(parent, leaf)
    parent.register_parameter(leaf, torch.nn.Parameter(value.detach().clone(), requires_grad=False))


def _tell_apart(lifted: Lifted, model: Model) -> None:
    """Record what the converter sees of each weight, changed where two layers hold equal ones."""
    import torch

    seen: set[tuple[Any, ...]] = set()
    for name in (w for layer in model.inventory.layers for w in layer.weights):
        weight = operator.attrgetter(name)(lifted.module)
        key = (tuple(weight.shape), weight.detach().numpy().tobytes()[:4096], float(weight.detach().double().sum()))
        if key in seen or float(weight.detach().abs().max()) == 0.0:
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(seen)))
            spread = float(weight.detach().std()) if weight.numel() > 1 else 1.0
            set_weight(lifted.module, name, weight.detach() + noise * (spread or 1.0))
        seen.add(key)
        lifted.weights[name] = operator.attrgetter(name)(lifted.module).detach().numpy()
