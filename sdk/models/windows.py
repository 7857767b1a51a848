"""Windows of an axis (`Tensor.unfold`) and padding that cuts (`F.pad` by less than zero), which converters refuse."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before, metadata_of
from sdk.models.cells import Rule, replace_calls


def plain_windows(module: Any) -> None:
    """Write windows as their elements picked, and what a constant padding cuts off as a part taken."""
    import torch

    aten = torch.ops.aten
    rules: dict[Any, Rule] = {aten.unfold.default: _windows, aten.pad.default: _cut, aten.constant_pad_nd.default: _cut}
    replace_calls(module, rules)


def _windows(node: Any, given: dict[str, Any]) -> tuple[Any, ...]:
    """Pick the elements of all windows, which are put last."""
    import torch

    from sdk.models.rewrite import new_get_attr

    aten, value, size = torch.ops.aten, given["self"], given["size"]
    shape = list(value.meta["val"].shape)
    axis = given["dimension"] % len(shape)
    picked = torch.arange(0, shape[axis] - size + 1, given["step"]).unsqueeze(1) + torch.arange(size)
    places = new_get_attr(node.graph.owning_module, f"{node.name}_places", picked.flatten(), node)
    places.meta["val"] = metadata_of(picked.flatten(), node)
    rows = call_before(node, aten.index_select.default, value, axis, places)
    split = call_before(node, aten.view.default, rows, [*shape[:axis], *picked.shape, *shape[axis + 1 :]])
    order = [place for place in range(len(shape) + 1) if place != axis + 1]
    return (call_before(node, aten.permute.default, split, [*order, axis + 1]),)


def _cut(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    aten, made, borders = torch.ops.aten, given["self"], list(given["pad"])
    if all(border >= 0 for border in borders) or given.get("mode", "constant") != "constant":
        return None
    shape = made.meta["val"].shape
    for place, (before, after) in enumerate(zip(borders[::2], borders[1::2], strict=True), 1):
        if min(before, after) < 0:
            ends = max(-before, 0), shape[-place] - max(-after, 0)
            made = call_before(node, aten.slice.Tensor, made, len(shape) - place, *ends)
    left = [max(border, 0) for border in borders]
    return (call_before(node, aten.constant_pad_nd.default, made, left, given["value"] or 0.0) if any(left) else made,)
