"""Lets the converter keep images in the order of its kernels, channels last, where it would copy them into torch's and back.

It decides for each operator whether it can have that order. Paddings with a number, of which it knows no such form, and
arithmetic with constants of fewer axes than the image have not, though nothing speaks against either.
"""

from __future__ import annotations

import operator
from typing import Any

IMAGE = 4
"""Axes of an image: samples, channels, rows, columns."""


def know_paddings() -> None:
    """Tell the converter how images with channels last are padded."""
    import torch
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters

    aten = torch.ops.aten
    for padding in (aten.constant_pad_nd, aten.pad):
        rewriters.register(padding)(_pad_last)


def _pad_last(node: Any) -> None:
    """Bring the amounts, which begin with the last axis, into the order channels, columns, rows."""
    given = [*node.args[1], *[0] * (2 * IMAGE - len(node.args[1]))]
    columns, rows, channels, samples = (given[at : at + 2] for at in range(0, 2 * IMAGE, 2))
    node.args = (node.args[0], [*channels, *columns, *rows, *samples], *node.args[2:])


def as_images(module: Any) -> None:
    """Give each constant that arithmetic on images reads the axes of one."""
    import torch

    aten = torch.ops.aten
    arithmetic = {aten.add, aten.sub, aten.mul, aten.div, aten.maximum, aten.minimum}
    for node in list(module.graph.nodes):
        if getattr(node.target, "overloadpacket", None) not in arithmetic or getattr(node.meta.get("val"), "ndim", 0) != IMAGE:
            continue
        for source in node.all_input_nodes:
            if source.op == "get_attr" and getattr(source.meta.get("val"), "ndim", IMAGE) < IMAGE:
                found, name = operator.attrgetter(source.target)(module).detach(), f"image_{source.name}"
                if not hasattr(module, name):
                    module.register_buffer(name, found.reshape(*[1] * (IMAGE - found.ndim), *found.shape).clone())
                with module.graph.inserting_before(node):
                    made = module.graph.get_attr(name)
                made.meta["val"] = source.meta["val"].reshape(getattr(module, name).shape)
                node.replace_input_with(source, made)


def as_last(value: Any) -> Any:
    """Return one number for each channel of an image in the order of the kernels, so that nothing has to turn it; others as they
    are."""
    return value.permute(0, 2, 3, 1).contiguous() if _is_of_channels(value) else value


def as_channels(module: Any, node: Any, given: Any, value: Any) -> Any:
    """Return what stands for `value` in torch's order where `given` is `as_last` of it, in front of `node`."""
    import torch

    if not _is_of_channels(value):
        return given
    with module.graph.inserting_before(node):
        return module.graph.call_function(torch.ops.aten.permute.default, (given, [0, 3, 1, 2]))


def _is_of_channels(value: Any) -> bool:
    return bool(value.ndim == IMAGE and value.shape[1] == value.numel() > 1)
