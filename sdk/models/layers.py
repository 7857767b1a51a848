"""Takes the inventory of a normalised program: which operator reads which weight, and what is left over."""

from __future__ import annotations

import math
import re
from typing import Any

from sdk.models.inventory import Kind, Layer, LayerInventory, Uncovered


def take_inventory(program: Any) -> LayerInventory:
    """Return every layer in the order of execution and every tensor that no layer holds."""
    graph_module = program.module(check_guards=False)
    meta = {node.name: node.meta.get("val") for node in program.graph.nodes}
    layers: dict[str, Layer] = {}
    covered: set[str] = set()
    for node in graph_module.graph.nodes:
        layer = _layer_at(node, graph_module, meta)
        if layer is None or layer.name in layers:
            continue
        layers[layer.name] = layer
        covered.update(layer.weights)
        if layer.bias:
            covered.add(layer.bias)
    return LayerInventory(tuple(layers.values()), _uncovered(program, covered))


def operators() -> dict[Any, tuple[Kind, int, int]]:
    """Operator → (kind, position of its weight, axis of the output channels in it)."""
    import torch

    aten = torch.ops.aten
    return {
        aten.linear.default: ("linear", 1, 0),
        aten.conv1d.default: ("conv1d", 1, 0),
        aten.conv1d.padding: ("conv1d", 1, 0),
        aten.conv2d.default: ("conv2d", 1, 0),
        aten.conv2d.padding: ("conv2d", 1, 0),
        aten.conv_transpose1d.default: ("conv_transpose1d", 1, 1),
        aten.conv_transpose2d.input: ("conv_transpose2d", 1, 1),
        aten.embedding.default: ("embedding", 0, 0),
        aten.lstm.input: ("lstm", 2, 0),
        aten.gru.input: ("gru", 2, 0),
    }


def _layer_at(node: Any, module: Any, meta: dict[str, Any]) -> Layer | None:
    found = operators().get(node.target) if node.op == "call_function" else None
    if found is None:
        return None
    kind, position, axis = found
    weights = _weight_nodes(node, kind, position)
    if not weights or any(w.op != "get_attr" for w in weights):
        return None
    shape = tuple(_tensor(module, weights[0].target).shape)
    kind = _refine(kind, node, shape)
    bias = _bias(node, kind, position)
    fused = _fused(node) if kind not in ("embedding", "lstm", "gru") else (node.name,)
    names = tuple(w.target for w in weights)
    return Layer(
        name=_layer_name(names),
        kind=kind,
        weights=names,
        shape=shape,
        channel_axis=axis,
        parameters=sum(math.prod(_tensor(module, n).shape) for n in names),
        macs=_macs(kind, shape, node, meta, names, module),
        bias=bias,
        input=_input_name(node, kind),
        output=fused[-1],
        fused=fused,
        uses=len(weights[0].users),
        tied=_tied(module, names[0]),
        groups=_groups(node, kind),
    )


def _weight_nodes(node: Any, kind: Kind, position: int) -> list[Any]:
    if kind not in ("lstm", "gru"):
        return [node.args[position]]
    return [w for w in node.args[position] if w.op == "get_attr" and re.search(r"weight", w.target)]


def _bias(node: Any, kind: Kind, position: int) -> str | None:
    if kind in ("embedding", "lstm", "gru") or len(node.args) <= position + 1:
        return None
    bias = node.args[position + 1]
    return bias.target if bias is not None and bias.op == "get_attr" else None


def _refine(kind: Kind, node: Any, shape: tuple[int, ...]) -> Kind:
    """A convolution whose groups are single input channels is depthwise."""
    if kind != "conv2d" or len(node.args) <= 6:
        return kind
    return "depthwise" if node.args[6] > 1 and shape[1] == 1 else kind


def _groups(node: Any, kind: Kind) -> int:
    """Groups of a convolution, in the same position for plain and transposed ones."""
    return int(node.args[6]) if kind.startswith(("conv", "depthwise")) and len(node.args) > 6 else 1


def operators_of(graph: Any, layer: Layer) -> list[Any]:
    """Every node that computes the layer: a head may be shared by several scales of an image, its weight by an embedding too."""
    import torch

    readers = [user for node in graph.nodes if node.op == "get_attr" and node.target == layer.weights[0] for user in node.users]
    return [each for each in readers if (each.target is torch.ops.aten.embedding.default) == (layer.kind == "embedding")]


def end_of(node: Any) -> Any:
    """The activation function behind a layer's node, where runtimes fuse the two, else the node."""
    import torch

    aten = torch.ops.aten
    fusable = {aten.relu.default, aten.hardtanh.default, aten.relu6.default}
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].op == "call_function" and users[0].target in fusable else node


def _fused(node: Any) -> tuple[str, ...]:
    """Names of the layer's node and of the activation function that is fused to it."""
    return tuple(dict.fromkeys((node.name, end_of(node).name)))


def _layer_name(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return names[0].removesuffix(".weight")
    head = names[0].rpartition(".")[0]
    return head or "recurrent"


def _macs(kind: Kind, shape: tuple[int, ...], node: Any, meta: dict[str, Any], names: tuple[str, ...], module: Any) -> int:
    """Multiply-accumulates of one inference, from the output's (or for transposed, the input's) positions."""
    if kind == "embedding":
        return 0
    value = meta.get(node.args[0].name) if kind.startswith("conv_transpose") else meta.get(node.name)
    source = meta.get(node.args[0].name)
    if kind in ("lstm", "gru"):
        steps = math.prod(source.shape[:-1]) if source is not None else 1
        return int(steps * sum(math.prod(_tensor(module, n).shape) for n in names))
    if value is None:
        return 0
    if kind == "linear":
        return int(math.prod(value.shape[:-1]) * math.prod(shape))
    positions = value.shape[0] * math.prod(value.shape[2:])
    return int(positions * math.prod(shape))


def _input_name(node: Any, kind: Kind) -> str:
    return str(node.args[1].name if kind == "embedding" else node.args[0].name)


def _tensor(module: Any, name: str) -> Any:
    from sdk.models.rewrite import attribute

    return attribute(module, name)


def _tied(module: Any, name: str) -> tuple[str, ...]:
    """Names of other parameters with equal content: an embedding and a head that were one storage."""
    import torch

    mine = _tensor(module, name)
    return tuple(
        other for other, value in module.named_parameters()
        if other != name and value.shape == mine.shape and mine.numel() > 4096
        and bool(value.flatten()[0] == mine.flatten()[0]) and torch.equal(value, mine)
    )


def _uncovered(program: Any, covered: set[str]) -> tuple[Uncovered, ...]:
    tensors = {**program.state_dict, **program.constants}
    rows = [
        Uncovered(name, tuple(t.shape), str(t.dtype).removeprefix("torch."), t.numel() * t.element_size())
        for name, t in tensors.items()
        if name not in covered and hasattr(t, "element_size")
    ]
    return tuple(sorted(rows, key=lambda row: row.name))
