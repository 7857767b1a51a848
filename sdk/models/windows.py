"""Windows of an axis (`Tensor.unfold`), which converters refuse."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before, metadata_of
from sdk.models.cells import replace_calls


def plain_windows(module: Any) -> None:
    """Write windows as their elements picked."""
    import torch

    replace_calls(module, {torch.ops.aten.unfold.default: _windows})


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
