"""Powers of tensors of more than four axes, which the converter refuses where it writes those of four as products and roots."""

from __future__ import annotations

from typing import Any

from sdk.models.calls import call_before
from sdk.models.cells import replace_calls

MOST = 4
"""Axes that the converter takes."""


def flat_powers(module: Any) -> None:
    """Take powers with a number as exponent or base of a view of four axes, in place: a YOLO head's box sizes have five."""
    import torch

    aten = torch.ops.aten
    replace_calls(module, dict.fromkeys((aten.pow.Tensor_Scalar, aten.pow.Scalar), _flat))


def _flat(node: Any, given: dict[str, Any]) -> tuple[Any, ...] | None:
    import torch

    shape = list(node.meta["val"].shape)
    if len(shape) <= MOST:
        return None
    aten, values = torch.ops.aten, given["self"] if isinstance(given["self"], torch.fx.Node) else given["exponent"]
    flat = call_before(node, aten.reshape.default, values, [*shape[: MOST - 1], -1])
    sides = [flat if side is values else side for side in (given["self"], given["exponent"])]
    return (call_before(node, aten.reshape.default, call_before(node, node.target, *sides), shape),)
