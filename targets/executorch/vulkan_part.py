"""What a Vulkan delegate's graph says: its operators, its weights with their schemes, and its arithmetic in torch.

The evaluation rounds every float to what the graph stores on the GPU (float16), and computes in float32 in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sdk.errors import CheckFailed, Missing
from sdk.lowering.types import Realised
from targets.executorch.arithmetic import multiply_accumulates
from targets.executorch.backends.backend import Operator, Part, Stored
from targets.executorch.machine import tensor_of
from targets.executorch.packing import unpack_codes
from targets.executorch.sites import fingerprint, scheme_called
from targets.executorch.vulkan_graph import GpuCall, GpuTensor, Graph, ValueList

FLOAT_WEIGHTS = {
    "aten.convolution.default": 1, "et_vk.conv_with_clamp.default": 1, "aten.linear.default": 1, "aten.embedding.default": 0,
}  # fmt: skip
"""Operator with a float weight → the weight's position."""

CODED_WEIGHTS = {
    "aten._weight_int8pack_mm.default": (1, 2, 8, "channel", "float", None),
    "et_vk.linear_qcs4w.default": (1, 2, 4, "channel", "float", None),
    "et_vk.linear_q4gsw.default": (1, 2, 4, "group", "float", 3),
    "et_vk.linear_dq8ca_q4gsw.default": (3, 5, 4, "group", "dynamic", 6),
}
"""Operator with codes → positions of codes and scales, bits, granularity, activations, position of the group's size."""

CONVOLUTIONS = ("aten.convolution.default", "et_vk.conv_with_clamp.default")
PREPACK = "et_vk.prepack.default"
FLOATS = ("float16", "float32")


def part_of(graph: Graph) -> Part:
    """Return what a delegate holds, and how it is evaluated here."""
    sources = {call.values[-1]: call.values[0] for call in graph.calls if call.operator == PREPACK}
    operators = tuple(_operator(graph, call) for call in graph.calls if call.operator != PREPACK)
    weights = {}
    for index, call in enumerate(graph.calls):
        stored = _stored(graph, call, sources)
        if stored is not None:
            weights[index] = stored
    return Part(operators, weights, lambda inputs: _run(graph, inputs))


def _operator(graph: Graph, call: GpuCall) -> Operator:
    shapes = [value.shape for value in (graph.values[n] for n in call.values) if isinstance(value, GpuTensor)]
    transposed = call.operator in CONVOLUTIONS and graph.values[call.values[6]] is True
    macs = multiply_accumulates(call.operator, shapes[:-1], shapes[-1], transposed) if shapes else 0
    return Operator(call.operator, macs)


def _stored(graph: Graph, call: GpuCall, sources: dict[int, int]) -> Stored | None:
    """The constant weight of a call, or None."""

    def constant(position: int) -> GpuTensor | None:
        number = call.values[position]
        value = graph.values[sources.get(number, number)]
        return value if isinstance(value, GpuTensor) and value.data is not None else None

    if call.operator in FLOAT_WEIGHTS:
        weight = constant(FLOAT_WEIGHTS[call.operator])
        if weight is None or weight.dtype not in FLOATS:
            return None
        values = tensor_of(_held(weight), weight.dtype, weight.shape).float().numpy()
        return Stored(fingerprint(values), Realised(f"fp{weight.dtype.removeprefix('float')}", len(_held(weight))))
    if call.operator not in CODED_WEIGHTS:
        return None
    at, scales_at, bits, granularity, activations, group_at = CODED_WEIGHTS[call.operator]
    codes, scales = constant(at), constant(scales_at)
    if codes is None or scales is None:
        return None
    group = graph.values[call.values[group_at]] if group_at is not None else 0
    return _coded(graph, call, codes, scales, (bits, granularity, activations, group))


def _coded(graph: Graph, call: GpuCall, codes: GpuTensor, scales: GpuTensor, what: tuple[int, str, str, int]) -> Stored:
    import numpy as np

    bits = what[0]
    rows = int(graph.values[call.values[-1]].shape[-1])
    data = np.frombuffer(_held(codes), np.int8 if bits == 8 else np.uint8)
    values = data if bits == 8 else unpack_codes(data, bits)
    steps = tensor_of(_held(scales), scales.dtype, scales.shape).float()[..., :rows].contiguous().numpy()
    size = len(_held(codes)) + len(_held(scales))
    return Stored(fingerprint(values, steps), Realised(scheme_called(*what), size))


def _held(tensor: GpuTensor) -> memoryview:
    assert tensor.data is not None
    return tensor.data


def _run(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
    """Evaluate the graph on torch tensors."""
    from executorch.backends.vulkan import custom_ops_lib  # noqa: F401  (registers torch.ops.et_vk)

    if len(inputs) != len(graph.inputs):
        raise CheckFailed(f"a Vulkan delegate was given {len(inputs)} inputs; it takes {len(graph.inputs)}")
    held: dict[int, Any] = {
        number: _on_gpu(value, graph.values[number]) for number, value in zip(graph.inputs, inputs, strict=True)
    }
    for call in graph.calls:
        made = _rule(call.operator)(*(_value(graph, held, number) for number in call.values[:-1]))
        _keep(graph, held, call.values[-1], made)
    return [held[number] for number in graph.outputs]


def _keep(graph: Graph, held: dict[int, Any], number: int, made: Any) -> None:
    value = graph.values[number]
    if isinstance(value, ValueList):
        for each, result in zip(value.numbers, made, strict=True):
            held[each] = _on_gpu(result, graph.values[each])
    elif isinstance(value, GpuTensor):
        held[number] = _on_gpu(made, value)


def _on_gpu(tensor: Any, declared: GpuTensor) -> Any:
    """A value rounded to the type that it has on the GPU; floats are held in float32 for the next operator."""
    import torch

    if declared.dtype == "float16":
        return tensor.half().float()
    return tensor.to(getattr(torch, declared.dtype))


def _value(graph: Graph, held: dict[int, Any], number: int) -> Any:
    if number in held:
        return held[number]
    value = graph.values[number]
    if isinstance(value, ValueList):
        return [_value(graph, held, each) for each in value.numbers]
    if isinstance(value, GpuTensor):
        if value.data is None:
            raise CheckFailed("a Vulkan payload reads a tensor that nothing wrote")
        found = tensor_of(value.data, value.dtype, value.shape)
        held[number] = found.float() if value.dtype == "float16" else found
        return held[number]
    return value


def _rule(operator: str) -> Callable[..., Any]:
    if operator in RULES:
        return RULES[operator]
    import torch

    space, _, rest = operator.partition(".")
    name, _, overload = rest.partition(".")
    try:
        found = getattr(getattr(getattr(torch.ops, space), name), overload or "default")
    except AttributeError as error:
        raise Missing(f"the Vulkan operator {operator} cannot be evaluated here: torch does not have it") from error

    def call(*values: Any) -> Any:
        arguments = found._schema.arguments
        given = [value.long() if isinstance(value, torch.Tensor) and value.dtype == torch.int32 else value for value in values]
        named = {a.name: v for a, v in zip(arguments, given, strict=True) if a.kwarg_only and v is not None}
        return found(*(v for a, v in zip(arguments, given, strict=True) if not a.kwarg_only), **named)

    return call


def _int8_linear(x: Any, codes: Any, scales: Any) -> Any:
    return x @ (codes.float() * scales[: codes.shape[0], None]).T


def _channel_linear(x: Any, packed: Any, scales: Any) -> Any:
    """Two codes a byte, the first one in the upper half."""
    import torch

    codes = torch.stack((packed >> 4, packed & 15), -1).reshape(packed.shape[0], -1)[:, : x.shape[-1]].float() - 8
    return x @ (codes * scales[: codes.shape[0], None]).T


def _group_linear(x: Any, packed: Any, scales: Any, group: int, bias: Any = None) -> Any:
    """Two codes a byte, the first one in the lower half; scales [groups, channels]."""
    import torch

    codes = torch.stack((packed & 15, packed >> 4), -1).reshape(packed.shape[0], -1)[:, : x.shape[-1]].float() - 8
    steps = scales[:, : codes.shape[0]].T.repeat_interleave(group, 1)
    made = x @ (codes * steps).T
    return made if bias is None else made + bias[: codes.shape[0]]


def _dynamic_linear(
    x: Any, scale: Any, zero: Any, packed: Any, sums: Any, scales: Any, group: int, bias: Any = None
) -> Any:
    """The input on the int8 grid of its row, then as `_group_linear`."""
    steps, zeros = (each.reshape(*x.shape[:-1], 1).float() for each in (scale, zero))
    codes = (x / steps + zeros).round().clamp(-128, 127)
    return _group_linear((codes - zeros) * steps, packed, scales, group, bias)


def _choose(x: Any, mapping: str, block: Any, *rest: Any) -> Any:
    """Asymmetric int8 range of every row."""
    import torch

    low, high = x.amin(-1).clamp(max=0.0), x.amax(-1).clamp(min=0.0)
    scale = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).eps)
    return scale, (-128 - (low / scale).round()).clamp(-128, 127)


RULES: dict[str, Callable[..., Any]] = {
    PREPACK: lambda x: x,
    "aten._weight_int8pack_mm.default": _int8_linear,
    "et_vk.linear_qcs4w.default": _channel_linear,
    "et_vk.linear_q4gsw.default": _group_linear,
    "et_vk.linear_dq8ca_q4gsw.default": _dynamic_linear,
    "torchao.choose_qparams_affine.default": _choose,
}
"""Operators that torch does not have, or of which ExecuTorch's own Python does not compute what the shaders do."""
