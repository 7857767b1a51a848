"""Running products, greatest and least elements, which few runtimes have, in steps that double their reach."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import arguments, call_before
from sdk.models.cells import replace_outputs


def plain_scans(module: Any) -> None:
    """Write `cumprod`, `logcumsumexp`, `cummax` and `cummin`: y[i] = f(y[i - k], y[i]) for k = 1, 2, 4, ... over an axis."""
    import torch

    aten = torch.ops.aten
    joined = {
        aten.cumprod.default: aten.mul.Tensor, aten.logcumsumexp.default: aten.logaddexp.default,
        aten.cummax.default: aten.maximum.default, aten.cummin.default: aten.minimum.default,
    }  # fmt: skip
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in joined:
            continue
        given = arguments(node)
        value, axis = given["self"], given["dim"]
        if given.get("dtype") not in (None, value.meta["val"].dtype) or not value.meta["val"].dim():
            continue
        found = _scanned(node, value, axis, joined[node.target])
        if node.target not in (aten.cummax.default, aten.cummin.default):
            replace_outputs(node, (found,))
        elif any(user.args[1] == 1 and user.users for user in node.users):
            replace_outputs(node, (found, _places(node, value, found, axis)))
        else:
            replace_outputs(node, (found, None))


def _scanned(node: Any, value: Any, axis: int, joined: Any) -> Any:
    import torch

    aten, extent, reach = torch.ops.aten, int(value.meta["val"].shape[axis]), 1
    while reach < extent:
        first, ahead, behind = (
            call_before(node, aten.slice.Tensor, value, axis, begin, end)
            for begin, end in ((0, reach), (reach, extent), (0, extent - reach))
        )
        value = call_before(node, aten.cat.default, [first, call_before(node, joined, behind, ahead)], axis)
        reach *= 2
    return value


def _places(node: Any, value: Any, found: Any, axis: int) -> Any:
    """Where the elements that were found are: of equal ones the last so far, as in torch."""
    import torch

    aten, like = torch.ops.aten, value.meta["val"]
    shape = [1] * like.dim()
    shape[axis] = -1
    counted = call_before(node, aten.arange.default, int(like.shape[axis]), dtype=torch.int64, device=like.device)
    counted = call_before(node, aten.reshape.default, counted, shape)
    here = call_before(node, aten._to_copy.default, call_before(node, aten.eq.Tensor, value, found), dtype=torch.int64)
    return _scanned(node, call_before(node, aten.mul.Tensor, here, counted), axis, aten.maximum.default)
