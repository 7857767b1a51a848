"""Convolutions and pools over three axes (frames, rows, columns), written over two: few runtimes have the former.

Frames go among the samples, and the frames that a kernel sees among the channels, so that a convolution stays one layer.
"""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before
from sdk.models.row_major import reshape_views


def plain_cubes(module: Any) -> None:
    """Write `conv3d` as `conv2d` with a kernel's frames among the input channels, 3-D pools as 2-D ones and a few frames joined.

    What is padded unevenly, has no axis of samples, or pools beyond the ends in time stays as it is.
    """
    import torch

    aten = torch.ops.aten
    rules = {
        aten.conv3d.default: _convolve, aten.max_pool3d.default: _greatest, aten.avg_pool3d.default: _mean,
        aten.adaptive_avg_pool3d.default: _whole,
    }  # fmt: skip
    for node in list(module.graph.nodes):
        rule = rules.get(node.target) if node.op == "call_function" else None
        if rule is not None and len(node.args[0].meta["val"].shape) == 5:
            made = rule(module, node)
            if made is not None:
                node.replace_all_uses_with(made)
                module.graph.erase_node(node)
                reshape_views(module)  # what is behind it has other strides now


def cube_left(program: Any) -> tuple[str, str] | None:
    """The name and the operator of the first convolution over three axes that is left in an exported program, or None."""
    import torch

    aten = torch.ops.aten
    cubes = {aten.conv3d.default, aten.conv3d.padding, aten.conv_transpose3d.input}
    names = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target in cubes:
            weight = str(names.get(node.args[1].name, node.name)).removesuffix(".weight")
            return weight, str(node.target).split(".")[1]
    return None


def _convolve(module: Any, node: Any) -> Any:
    import torch

    from sdk.models.rewrite import attribute, set_tensor

    aten = torch.ops.aten
    source, weight, bias, *given = _filled(node, None, None, None, 1, 0, 1, 1)
    stride, padding, dilation = (_three(each) for each in given[:3])
    groups = given[3]
    readers = (aten.conv3d.default, aten.conv2d.default)  # the latter: places that were written so before
    if weight.op != "get_attr" or any(u.target not in readers or u.args[1] is not weight for u in weight.users):
        return None
    value = attribute(module, weight.target)
    if value.dim() == 5:
        value = value.transpose(1, 2).reshape(len(value), -1, *value.shape[3:])
        set_tensor(module, weight.target, value)
        weight.meta["val"] = _like(node, value)
    if bias is not None:
        bias.meta.setdefault("val", _like(node, attribute(module, bias.target)))
    frames = value.shape[1] * groups // source.meta["val"].shape[1]
    seen = _frames(node, source, frames, stride[0], padding[0], dilation[0])
    length = seen[0].meta["val"].shape[1]
    flat = [_joined(node, each) for each in seen]
    if frames > 1:
        count, _, rows, columns = flat[0].meta["val"].shape
        parts = [call_before(node, aten.reshape.default, each, [count, groups, -1, rows * columns]) for each in flat]
        together = call_before(node, aten.cat.default, parts, 2)
        flat = [call_before(node, aten.reshape.default, together, [count, -1, rows, columns])]
    made = call_before(node, aten.conv2d.default, flat[0], weight, bias, stride[1:], padding[1:], dilation[1:], groups)
    made.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
    return _parted(node, made, length)


def _greatest(module: Any, node: Any) -> Any:
    import torch

    aten = torch.ops.aten
    source, *given = _filled(node, None, None, [], 0, 1, False)
    kernel, stride, padding, dilation = (_three(each) for each in (given[0], given[1] or given[0], given[2], given[3]))
    if padding[0] or given[4]:
        return None
    frames = _frames(node, source, 1, 1, 0, 1)[0]
    made = call_before(node, aten.max_pool2d.default, _joined(node, frames), kernel[1:], stride[1:], padding[1:], dilation[1:])
    first, *rest = _frames(node, _parted(node, made, frames.meta["val"].shape[1]), kernel[0], stride[0], 0, dilation[0])
    for each in rest:
        first = call_before(node, aten.maximum.default, first, each)
    return call_before(node, aten.permute.default, first, [0, 2, 1, 3, 4])


def _mean(module: Any, node: Any) -> Any:
    import torch

    aten = torch.ops.aten
    source, *given = _filled(node, None, None, [], 0, False, True, None)
    kernel, stride, padding = (_three(each) for each in (given[0], given[1] or given[0], given[2]))
    if padding[0] or given[3] or given[5] is not None:
        return None
    frames = _frames(node, source, 1, 1, 0, 1)[0]
    made = call_before(node, aten.avg_pool2d.default, _joined(node, frames), kernel[1:], stride[1:], padding[1:], False, given[4])
    first, *rest = _frames(node, _parted(node, made, frames.meta["val"].shape[1]), kernel[0], stride[0], 0, 1)
    for each in rest:
        first = call_before(node, aten.add.Tensor, first, each)
    if rest:
        first = call_before(node, aten.div.Tensor, first, float(kernel[0]))
    return call_before(node, aten.permute.default, first, [0, 2, 1, 3, 4])


def _whole(module: Any, node: Any) -> Any:
    import torch

    if list(node.args[1]) != [1, 1, 1]:
        return None
    return call_before(node, torch.ops.aten.mean.dim, node.args[0], [2, 3, 4], True)


def _filled(node: Any, *defaults: Any) -> list[Any]:
    """The node's arguments by position, with what is left out."""
    return [*node.args, *defaults[len(node.args) :]]


def _three(given: Any) -> list[int]:
    values = list(given) if isinstance(given, list | tuple) else [given]
    return values * 3 if len(values) == 1 else values


def _frames(node: Any, source: Any, count: int, stride: int, padding: int, dilation: int) -> list[Any]:
    """The frames that each of a kernel's `count` places sees ([samples, frames, channels, rows, columns]), zeros around them."""
    import torch

    aten = torch.ops.aten
    if padding:
        source = call_before(node, aten.constant_pad_nd.default, source, [0, 0, 0, 0, padding, padding])
    moved = call_before(node, aten.permute.default, source, [0, 2, 1, 3, 4])
    length = moved.meta["val"].shape[1]
    reach = (length - dilation * (count - 1) - 1) // stride * stride + 1
    if count == 1 and stride == 1:
        return [moved]
    return [call_before(node, aten.slice.Tensor, moved, 1, k * dilation, k * dilation + reach, stride) for k in range(count)]


def _joined(node: Any, frames: Any) -> Any:
    """Frames among the samples: [samples · frames, channels, rows, columns]."""
    import torch

    return call_before(node, torch.ops.aten.reshape.default, frames, [-1, *frames.meta["val"].shape[2:]])


def _parted(node: Any, images: Any, length: int) -> Any:
    """Images as [samples, channels, frames, rows, columns]."""
    import torch

    aten = torch.ops.aten
    parted = call_before(node, aten.reshape.default, images, [-1, length, *images.meta["val"].shape[1:]])
    return call_before(node, aten.permute.default, parted, [0, 2, 1, 3, 4])


def _like(node: Any, value: Any) -> Any:
    """What a graph's metadata say of a tensor of the module."""
    mode = getattr(node.meta["val"], "fake_mode", None)
    return mode.from_tensor(value, static_shapes=True) if mode is not None else value
