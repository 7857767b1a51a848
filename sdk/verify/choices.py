"""Finds where a model chooses among equal numbers: which of them it takes is nowhere defined, so runtimes differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.models import Model

_CHOOSING = ("topk", "sort")


def undefined_choice(model: Model, inputs: Sequence[Any]) -> str | None:
    """Return the name of the first `topk` or `sort` of the float model that depends on the order of equal numbers of one sample.

    None where there is none.
    """
    import torch

    found: list[str] = []

    class Watching(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            kind = getattr(node.target, "__name__", "").partition(".")[0]
            if kind in _CHOOSING and any(user.args[1:] == (1,) and user.users for user in node.users):  # their places are used
                args, kwargs = self.fetch_args_kwargs_from_env(node)
                if _tied(node.target, args, kwargs, value[0]):
                    found.append(node.name)
            return value

    with torch.no_grad():
        Watching(model.module()).run(*inputs)
    return found[0] if found else None


def _tied(target: Any, args: Sequence[Any], kwargs: dict[str, Any], chosen: Any) -> bool:
    """Whether two of the numbers that are chosen are equal, or the last one and the next that is not."""
    given = dict(zip((each.name for each in target._schema.arguments), args, strict=False)) | kwargs
    x, axis = given["self"], given.get("dim", -1)
    if x.dim() == 0:
        return False
    if chosen.shape[axis] < x.shape[axis]:
        largest = given.get("largest", True)
        chosen = x.topk(chosen.shape[axis] + 1, axis, largest).values  # in order
    elif not given.get("sorted", True):
        chosen = chosen.sort(axis).values
    return bool((chosen.diff(dim=axis) == 0).any())
