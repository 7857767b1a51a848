"""`unfold` and `fold` of patches that lie side by side, as MobileViT cuts an image, in operators that every runtime knows."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before


def plain_patches(module: Any) -> None:
    """Write `im2col` and `col2im` whose stride is the kernel as a view, a permutation and a view; others stay as they are."""
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
