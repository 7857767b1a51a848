"""Writes a plan into the model's graph: quantized constants, dynamic inputs, static borders, packed embeddings."""

from __future__ import annotations

import operator
from typing import Any

from sdk.errors import LoweringError
from sdk.lowering.types import Quantized, Range
from sdk.models import Layer, Model
from sdk.models.layers import end_of, operators_of
from sdk.models.simpler import write_simpler
from sdk.rounding import Grid
from targets.executorch.loops import Loop, take_loops
from targets.executorch.packing import pack_embedding, stored_scale

CODES = "sdk_codes"
"""Prefix of the buffers that hold a layer's codes, scales and zero points."""

RESCALING = {"add", "mul", "sub"}
"""Operators whose int8 kernels take a scale of its own for each input and the output."""

ORDERED = {
    "pixel_shuffle", "pixel_unshuffle", "upsample_bicubic2d", "_upsample_nearest_exact2d", "pad", "reflection_pad2d",
    "replication_pad2d",
}  # fmt: skip
"""Operators that are decomposed into a copy in the order of their input, of which ExecuTorch has the plain one alone."""

FLOAT_ONLY = {
    "gelu", "silu", "hardswish", "sigmoid", "tanh", "softmax", "layer_norm", "exp", "div", "leaky_relu", "avg_pool2d",
}  # fmt: skip
"""Operators that the backend never computes in int8."""


def quantized_program(quantized: Quantized, looped: bool) -> tuple[Any, list[Loop]]:
    """Return the ExportedProgram of `write_plan`'s graph, with a key-value cache when it is a language model's.

    And the loops whose marks are in it where recurrent layers are to be `looped`.
    """
    import torch

    from targets.executorch.decoding import example, with_cache

    module, inputs = write_plan(quantized), quantized.model.example
    loops = take_loops(module) if looped else []
    if quantized.model.language is not None:
        module, inputs = with_cache(module, quantized.model.language), example(quantized.model.language)
    with torch.no_grad():
        return torch.export.export(module, inputs, strict=False), loops


def write_plan(quantized: Quantized) -> Any:
    """Return the model's GraphModule with every planned layer in the form that the backend recognises.

    Linears and convolutions become `dequantize → operator` over int8 codes, embeddings the quantized lookup
    operators. Raises LoweringError when a static layer has no calibrated range.
    """
    module = quantized.model.module()
    if quantized.model.language is None:  # whose extents are not all known
        write_simpler(module)
    static: list[tuple[Layer, Any]] = []
    for layer in quantized.model.inventory.layers:
        grids = quantized.grids.get(layer.name, ())
        if not grids or grids[0].scheme.format == "float":
            _write_float(module, layer, grids)
        else:
            for node in operators_of(module.graph, layer):
                _write_layer(module, node, layer, grids[0])
                if grids[0].scheme.activations == "static":
                    static.append((layer, node))
    _bound_pads(module.graph)
    _copy_in_order(module.graph)
    _write_borders(module.graph, static, quantized.ranges)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _copy_in_order(graph: Any) -> None:
    """Copy what ORDERED operators read where its channels are last: an image made of tokens, and convolutions of one."""
    import torch

    for node in list(graph.nodes):
        if node.op != "call_function" or getattr(node.target, "__name__", "").split(".")[0] not in ORDERED:
            continue
        value = node.args[0].meta.get("val")
        if value is not None and not value.is_contiguous():
            with graph.inserting_before(node):
                kwargs = {"memory_format": torch.contiguous_format}
                node.update_arg(0, graph.call_function(torch.ops.aten.clone.default, (node.args[0],), kwargs))


def _bound_pads(graph: Any) -> None:
    """Pad with the lowest float32 instead of minus infinity (before a maximum), which the backend cannot write down."""
    import torch

    aten, largest = torch.ops.aten, torch.finfo(torch.float32).max
    values = {aten.constant_pad_nd.default: 2, aten.pad.default: 3}
    for node in graph.nodes:
        place = values.get(node.target) if node.op == "call_function" else None
        if place is not None and len(node.args) > place and node.args[place] is not None:
            node.update_arg(place, max(-largest, min(largest, node.args[place])))


def _write_float(module: Any, layer: Layer, grids: tuple[Grid, ...]) -> None:
    for name, grid in zip(layer.weights, grids, strict=False):
        module.get_parameter(name).data = grid.dequantize()


def _write_layer(module: Any, node: Any, layer: Layer, grid: Grid) -> None:
    if layer.kind == "embedding":
        _write_embedding(module, node, layer, grid)
        return
    if layer.kind.startswith("conv_transpose") and layer.shape[layer.channel_axis] != _channels(node):
        raise LoweringError(
            f"layer {layer.name}: XNNPACK has no {grid.scheme.name} for grouped transposed convolutions; use fp32"
        )
    weight = node.args[1]
    with module.graph.inserting_before(node):
        node.update_arg(1, _weight(module, layer, grid))
        if grid.scheme.activations == "dynamic":
            node.update_arg(0, _dynamic(module.graph, node.args[0], layer.kind == "linear"))
    if not weight.users:
        module.graph.erase_node(weight)


def _channels(node: Any) -> int:
    """Output channels of a convolution; a grouped transposed one has more of them than its weight shows."""
    return int(node.meta["val"].shape[1])


def pointwise(model: Model) -> frozenset[str]:
    """Names of the 1x1 convolutions of stride 1, whose dynamic kernels take the range of each position (measured)."""
    graph, found = model.module().graph, set()
    for layer in model.inventory.layers:
        if layer.kind in ("conv1d", "conv2d") and set(layer.shape[2:]) == {1}:
            for node in operators_of(graph, layer):
                stride, whole = set(node.args[3] if len(node.args) > 3 else [1]), node.args[0].meta["val"].shape[1]
                if stride == {1} and whole == layer.shape[1] and node.meta["val"].shape[2:] == node.args[0].meta["val"].shape[2:]:
                    found.add(layer.name)
    return frozenset(found)


def _constant(module: Any, layer: Layer, part: str, value: Any) -> Any:
    """A buffer next to the layer's weight and a get_attr node for it at the insertion point."""
    name = f"{CODES}_{part}_{layer.name.replace('.', '_')}"
    if not hasattr(module, name):
        module.register_buffer(name, value)
    return module.graph.get_attr(name)


def _weight(module: Any, layer: Layer, grid: Grid) -> Any:
    """The dequantize node over the layer's codes; groups go through torchao's operator, channels through PT2E's."""
    import torch
    import torchao  # noqa: F401  (registers torch.ops.torchao)

    scheme, scale = grid.scheme, stored_scale(grid)
    most = 2 ** (scheme.bits - 1)
    codes = _constant(module, layer, "weight", grid.codes.contiguous())
    if scheme.granularity == "group":
        scales = _constant(module, layer, "scale", scale)
        zeros = _constant(module, layer, "zero", torch.zeros_like(scale, dtype=torch.int8))
        return module.graph.call_function(
            torch.ops.torchao.dequantize_affine.default,
            (codes, [1, scheme.group], scales, zeros, torch.int8, -most, most - 1),
        )
    scales = _constant(module, layer, "scale", scale)
    zeros = _constant(module, layer, "zero", torch.zeros(scale.numel(), dtype=torch.int64))
    return module.graph.call_function(
        torch.ops.quantized_decomposed.dequantize_per_channel.default,
        (codes, scales, zeros, grid.channel_axis, -most, most - 1, torch.int8),
    )


def _dynamic(graph: Any, value: Any, per_token: bool) -> Any:
    """Asymmetric int8 quantize and dequantize of a float input with a range found at run time.

    For linears per token in torchao's operators; convolutions take PT2E's, which the backend runs per sample.
    """
    import torch

    if per_token:
        ops, block = torch.ops.torchao, [1] * (value.meta["val"].dim() - 1) + [int(value.meta["val"].shape[-1])]
        choose, quantize, dequantize = (
            getattr(ops, name).default for name in ("choose_qparams_affine", "quantize_affine", "dequantize_affine")
        )
        asked: tuple[Any, ...] = ("ASYMMETRIC", block, torch.int8, -128, 127, None, torch.float32, torch.int8)
        lead: tuple[Any, ...] = (block,)
        tail: tuple[Any, ...] = (torch.int8, -128, 127)
    else:
        decomposed = torch.ops.quantized_decomposed
        choose, quantize = decomposed.choose_qparams.tensor, decomposed.quantize_per_tensor.tensor
        dequantize = decomposed.dequantize_per_tensor.tensor
        asked, lead, tail = (-128, 127, torch.finfo(torch.float32).eps, torch.int8), (), (-128, 127, torch.int8)
    chosen = graph.call_function(choose, (value, *asked))
    scale, zero = (graph.call_function(operator.getitem, (chosen, i)) for i in (0, 1))
    codes = graph.call_function(quantize, (value, *lead, scale, zero, *tail))
    made = graph.call_function(dequantize, (codes, *lead, scale, zero, *tail))
    made.meta["val"] = value.meta["val"]
    return made


def _write_embedding(module: Any, node: Any, layer: Layer, grid: Grid) -> None:
    """Replace a lookup by the runtime's quantized lookup over packed codes."""
    import torch
    from executorch.exir.passes import _quant_patterns_and_replacements  # noqa: F401  (registers the operators)

    bits = grid.scheme.bits
    operator_name = {8: "embedding_byte", 4: "embedding_4bit", 2: "embedding_2bit"}[bits]
    target = getattr(torch.ops.quantized_decomposed, operator_name).dtype
    most = 2 ** (bits - 1)
    with module.graph.inserting_before(node):
        codes = _constant(module, layer, "weight", pack_embedding(grid))
        scales = _constant(module, layer, "scale", stored_scale(grid).half())  # which every scale is already
        rows = _long(module.graph, node.args[1])
        made = module.graph.call_function(target, (codes, scales, None, -most, most - 1, rows), {"dtype": torch.float32})
    made.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _long(graph: Any, indices: Any) -> Any:
    """Indices as int64: the quantized lookups end the process on any other type."""
    import torch

    if indices.meta["val"].dtype == torch.int64:
        return indices
    return graph.call_function(torch.ops.aten._to_copy.default, (indices,), {"dtype": torch.int64})


def _write_borders(graph: Any, static: list[tuple[Layer, Any]], ranges: Any) -> None:
    """Quantize the outputs and inputs of static layers; every consumer gets its own dequantize."""
    codes: dict[str, Any] = {}
    for layer, _ in static:
        for name in (layer.output, layer.input):
            if name not in ranges:
                raise LoweringError(f"layer {layer.name}: {name} has no calibrated range, which a static scheme needs")
    ends = [end_of(node) for _, node in static]
    for (layer, _), end in zip(static, ends, strict=True):
        codes[end.name] = _quantize(graph, end, ranges[layer.output])
        _requantize_users(graph, end, codes[end.name])
    for layer, node in static:
        source = node.args[0]
        if not _is_dequantize(source):
            if source.name not in codes:
                codes[source.name] = _quantize(graph, source, ranges[layer.input])
            node.update_arg(0, _dequantize(graph, codes[source.name], node))
    _close_pads(graph)
    _part_mixed(graph, {node for _, node in static})
    _part_conv1d(graph, {node for _, node in static})


def _quantize(graph: Any, value: Any, found: Range) -> Any:
    import torch

    with graph.inserting_after(value):
        made = graph.call_function(
            torch.ops.quantized_decomposed.quantize_per_tensor.default,
            (value, float(found.scale), int(found.zero_point), -128, 127, torch.int8),
        )
    made.meta["val"] = value.meta["val"]
    return made


def _dequantize(graph: Any, codes: Any, before: Any) -> Any:
    import torch

    with graph.inserting_before(before):
        made = graph.call_function(torch.ops.quantized_decomposed.dequantize_per_tensor.default, (codes, *codes.args[1:]))
    made.meta["val"] = codes.meta["val"]
    return made


def _is_dequantize(node: Any) -> bool:
    return node.op == "call_function" and str(node.target) == "quantized_decomposed.dequantize_per_tensor.default"


def _is_quantize(node: Any) -> bool:
    return node.op == "call_function" and str(node.target) == "quantized_decomposed.quantize_per_tensor.default"


def _requantize_users(graph: Any, value: Any, codes: Any) -> None:
    """Let every consumer read `value` back from its codes: shared dequantizes make partitions that depend on each other."""
    for user in list(value.users):
        if user is not codes:
            user.replace_input_with(value, _dequantize(graph, codes, user))


def _close_pads(graph: Any) -> None:
    """Quantize behind each zero pad of dequantized values, as the backend would do without telling float consumers."""
    import torch

    pads = (torch.ops.aten.constant_pad_nd.default, torch.ops.aten.pad.default)
    for node in list(graph.nodes):
        if node.target in pads and _is_dequantize(node.args[0]):
            made = [u for u in node.users if _is_quantize(u)]
            source = node.args[0].args[0]
            codes = made[0] if made else _quantize(graph, node, Range(source.args[1], source.args[2]))
            _requantize_users(graph, node, codes)


def _part_mixed(graph: Any, static: set[Any]) -> None:
    """Keep an operator between quantized tensors in float where its int8 kernel needs one scale for all.

    The backend computes `dequantize → operator → quantize` in int8; only some operators rescale there. What is put between is
    computed in floats alone, and in the same part.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node in static or _is_quantize(node):
            continue
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        users, sources = list(node.users), node.all_input_nodes
        if name in RESCALING or name in FLOAT_ONLY or len(users) != 1 or not _is_quantize(users[0]) or not sources:
            continue
        if all(map(_is_dequantize, sources)) and any(s.args[1:3] != users[0].args[1:3] for s in sources):
            with graph.inserting_before(users[0]):
                users[0].update_arg(0, _unchanged(graph, node))


def _part_conv1d(graph: Any, static: set[Any]) -> None:
    """Put a reshape between float 1-D convolutions and their quantized neighbours.

    The backend makes 1-D convolutions 2-D, and takes one for quantized when it sees a neighbouring (de)quantize.
    """
    import torch

    aten = torch.ops.aten
    for node in list(graph.nodes):
        if node.target not in (aten.conv1d.default, aten.conv_transpose1d.default) or node in static:
            continue
        if _is_dequantize(node.args[0]):
            with graph.inserting_before(node):
                node.update_arg(0, _reshaped(graph, node.args[0]))
        last = node
        fused = (aten.relu.default, aten.hardtanh.default, aten.relu6.default)
        if len(last.users) == 1 and next(iter(last.users)).target in fused:
            last = next(iter(last.users))
        for user in [u for u in last.users if _is_quantize(u)]:
            with graph.inserting_before(user):
                user.update_arg(0, _reshaped(graph, last))


def _unchanged(graph: Any, value: Any) -> Any:
    """The value behind an activation function that changes nothing."""
    import torch

    return graph.call_function(torch.ops.aten.leaky_relu.default, (value, 1.0))


def _reshaped(graph: Any, value: Any) -> Any:
    import torch

    wide = graph.call_function(torch.ops.aten.unsqueeze.default, (value, -1))
    return graph.call_function(torch.ops.aten.squeeze.dim, (wide, -1))
