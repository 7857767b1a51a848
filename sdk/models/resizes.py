"""Resizing with antialiasing, which runtimes lack or silently leave out, as the two products with constants that it is."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import arguments, call_before, metadata_of


def plain_resizes(module: Any) -> None:
    """Write bilinear and bicubic resizes with antialiasing as a layer over the columns and one over the rows."""
    import torch

    aten = torch.ops.aten
    apart = {
        aten._upsample_bilinear2d_aa.vec: aten._upsample_bilinear2d_aa.default,
        aten._upsample_bicubic2d_aa.vec: aten._upsample_bicubic2d_aa.default,
    }
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in {*apart, *apart.values()}:
            continue
        given = arguments(node)
        scales = given["scale_factors"] or (None, None) if node.target in apart else (given["scales_h"], given["scales_w"])
        made, size = given["input" if node.target in apart else "self"], node.meta["val"].shape[-2:]
        resize, aligned = apart.get(node.target, node.target), given["align_corners"]
        for name, extent, scale in (("columns", size[1], scales[1]), ("rows", size[0], scales[0])):
            matrix = _matrix(resize, made.meta["val"].shape[-1], extent, aligned, scale)
            made = call_before(node, aten.linear.default, made, _stored(module, node, name, matrix))
            made.meta["nn_module_stack"] = node.meta.get("nn_module_stack")
            made = call_before(node, aten.transpose.int, made, -1, -2)
        node.replace_all_uses_with(made)
        module.graph.erase_node(node)


def _matrix(resize: Any, before: int, after: int, aligned: bool, scale: float | None) -> Any:
    """What one axis of `before` elements is multiplied with, [after, before]: the operator itself on unit vectors."""
    import torch

    units = torch.eye(before, dtype=torch.float64)[None, None]
    return resize(units, [before, after], aligned, None, scale)[0, 0].t().float()


def _stored(module: Any, node: Any, name: str, value: Any) -> Any:
    """A constant of the node's own, under the module that it was traced in."""
    from sdk.models.rewrite import new_get_attr, owner_of

    made = new_get_attr(module, f"{owner_of(node)}.{node.name}.{name}".removeprefix("."), value, node)
    made.meta["val"] = metadata_of(value, node)
    return made
