"""Convolutions and pools over three axes (frames, rows, columns), written over two: few runtimes have the former.

Frames go among the samples, and the frames that a kernel sees among the channels, so that a convolution stays one layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.models.calls import arguments, call_before, metadata_of
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
    source, weight, bias, *sizes, groups = arguments(node).values()
    stride, padding, dilation = map(_three, sizes)
    readers = (aten.conv3d.default, aten.conv2d.default)  # the latter: places that were written so before
    if weight.op != "get_attr" or any(u.target not in readers or u.args[1] is not weight for u in weight.users):
        return None
    value = attribute(module, weight.target)
    if value.dim() == 5:
        value = value.transpose(1, 2).reshape(len(value), -1, *value.shape[3:])
        set_tensor(module, weight.target, value)
        weight.meta["val"] = metadata_of(value, node)
    if bias is not None:
        bias.meta.setdefault("val", metadata_of(attribute(module, bias.target), node))
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
    source, kernel, stride, padding, dilation, beyond = arguments(node).values()
    kernel, stride, padding, dilation = map(_three, (kernel, stride or kernel, padding, dilation))
    if padding[0] or beyond:
        return None

    def pooled(images: Any) -> Any:
        return call_before(node, aten.max_pool2d.default, images, kernel[1:], stride[1:], padding[1:], dilation[1:])

    return _pool(node, source, pooled, aten.maximum.default, (kernel[0], stride[0], 0, dilation[0]))


def _mean(module: Any, node: Any) -> Any:
    import torch

    aten = torch.ops.aten
    source, kernel, stride, padding, beyond, zeros_too, divisor = arguments(node).values()
    kernel, stride, padding = map(_three, (kernel, stride or kernel, padding))
    if padding[0] or beyond or divisor is not None:
        return None

    def pooled(images: Any) -> Any:
        return call_before(node, aten.avg_pool2d.default, images, kernel[1:], stride[1:], padding[1:], False, zeros_too)

    total = _pool(node, source, pooled, aten.add.Tensor, (kernel[0], stride[0], 0, 1))
    return call_before(node, aten.div.Tensor, total, float(kernel[0])) if kernel[0] > 1 else total


def _pool(node: Any, source: Any, pooled: Callable[[Any], Any], join: Any, places: tuple[int, int, int, int]) -> Any:
    """`source` with its images `pooled`, and then the frames at the `places` of a kernel (see `_frames`) in one by `join`."""
    import torch

    (frames,) = _frames(node, source, 1, 1, 0, 1)
    images = _parted(node, pooled(_joined(node, frames)), frames.meta["val"].shape[1])
    first, *rest = _frames(node, images, *places)
    for each in rest:
        first = call_before(node, join, first, each)
    return call_before(node, torch.ops.aten.permute.default, first, [0, 2, 1, 3, 4])


def _whole(module: Any, node: Any) -> Any:
    import torch

    if list(node.args[1]) != [1, 1, 1]:
        return None
    return call_before(node, torch.ops.aten.mean.dim, node.args[0], [2, 3, 4], True)


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
