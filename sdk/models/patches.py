"""`unfold` and `fold` of patches, as MobileViT cuts an image, in operators that every runtime knows."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before


def plain_patches(module: Any) -> None:
    """Write `im2col` and `col2im` whose stride is the kernel as a view, a permutation and a view; others of `col2im`, whose
    patches overlap, as a sum of such images. Dilated ones and others of `im2col` stay as they are.
    """
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.target is aten.im2col.default:
            image, kernel, *places = node.args
            if _side_by_side(kernel, places, shape := image.meta["val"].shape[-2:]):
                (high, wide), (rows, columns) = kernel, shape
                _move(module, node, image, [-1, rows // high, high, columns // wide, wide], [0, 2, 4, 1, 3])
        elif node.target is aten.col2im.default:
            patches, shape, kernel, *places = node.args
            if _side_by_side(kernel, places, shape):
                (high, wide), (rows, columns) = kernel, shape
                _move(module, node, patches, [-1, high, wide, rows // high, columns // wide], [0, 3, 1, 4, 2])
            elif (made := _overlapping(node, patches, shape, kernel, *places)) is not None:
                node.replace_all_uses_with(made)
                module.graph.erase_node(node)


def _side_by_side(kernel: list[int], places: list[list[int]], shape: Any) -> bool:
    """Whether every pixel is in exactly one patch."""
    dilation, padding, stride = ([*each, *each][:2] for each in places)
    exact = all(size % part == 0 for size, part in zip(shape, kernel, strict=True))
    return len(kernel) == 2 and list(stride) == list(kernel) and dilation == [1, 1] and padding == [0, 0] and exact


def _move(module: Any, node: Any, source: Any, axes: list[int], order: list[int]) -> None:
    """Replace a node by `source` seen with `axes`, in another `order` of them."""
    import torch

    aten, like = torch.ops.aten, node.meta["val"]
    made = source
    for target, args in ((aten.reshape.default, axes), (aten.permute.default, order), (aten.reshape.default, list(like.shape))):
        made = call_before(node, target, made, args)
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)


def _overlapping(node: Any, patches: Any, shape: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The sum of patches at their places: cut into tiles of the stride, equal tiles of all patches lie side by side.

    None for dilated patches.
    """
    import torch

    aten = torch.ops.aten
    kernel, dilation, padding, stride = ([*each, *each][:2] for each in (kernel, dilation, padding, stride))
    if dilation != [1, 1]:
        return None
    counts = [(size + 2 * pad - part) // step + 1 for size, pad, part, step in zip(shape, padding, kernel, stride, strict=True)]
    tiles = [-(-part // step) for part, step in zip(kernel, stride, strict=True)]
    filled = [tile * step for tile, step in zip(tiles, stride, strict=True)]
    whole = [max((count + tile - 1) * step, size + 2 * pad)
             for count, tile, step, size, pad in zip(counts, tiles, stride, shape, padding, strict=True)]
    made = call_before(node, aten.reshape.default, patches, [-1, *kernel, *counts])
    if filled != kernel:
        borders = [0, 0, 0, 0, 0, filled[1] - kernel[1], 0, filled[0] - kernel[0]]
        made = call_before(node, aten.constant_pad_nd.default, made, borders, 0.0)
    total = None
    for row in range(tiles[0]):
        rows = call_before(node, aten.slice.Tensor, made, 1, row * stride[0], (row + 1) * stride[0])
        for column in range(tiles[1]):
            tile = call_before(node, aten.slice.Tensor, rows, 2, column * stride[1], (column + 1) * stride[1])
            turned = call_before(node, aten.permute.default, tile, [0, 3, 1, 4, 2])
            image = call_before(node, aten.reshape.default, turned, [-1, *(c * s for c, s in zip(counts, stride, strict=True))])
            top, left = row * stride[0], column * stride[1]
            low, right = whole[0] - top - counts[0] * stride[0], whole[1] - left - counts[1] * stride[1]
            image = call_before(node, aten.constant_pad_nd.default, image, [left, right, top, low], 0.0)
            total = image if total is None else call_before(node, aten.add.Tensor, total, image)
    for axis, (pad, size) in enumerate(zip(padding, shape, strict=True), 1):
        total = call_before(node, aten.slice.Tensor, total, axis, pad, pad + size)
    return call_before(node, aten.reshape.default, total, list(node.meta["val"].shape))
