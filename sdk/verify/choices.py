"""Finds where a model chooses among numbers: which of equal ones it takes is nowhere defined, and small changes choose others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.models import Model

_CHOOSING = ("topk", "sort")

_PLACES = {"topk": 1, "sort": 1, "max": 1, "min": 1, "argmax": None, "argmin": None}
"""Operators whose result holds places of numbers: as which of its outputs, or as all of it."""


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


def moved_choice(module: Any, changed: Any, samples: Sequence[Sequence[Any]]) -> tuple[str, int] | None:
    """Return the first operator of a graph that takes other numbers in one with other weights, and in how many of the samples.

    Only places that something computes with count. None where every choice is the same.
    """
    before, after = _choices(module, samples), _choices(changed, samples)
    for name, wanted in before.items():
        count = sum(not a.equal(b) for a, b in zip(wanted, after[name], strict=True))
        if count:
            return name, count
    return None


def _choices(module: Any, samples: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """The places that each choosing operator takes of each sample, by name, in the order of the graph."""
    import torch

    found: dict[str, list[Any]] = {}

    class Watching(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            kind = getattr(node.target, "__name__", "").partition(".")[0] if node.op == "call_function" else ""
            if kind in _PLACES:
                index = _PLACES[kind]
                places = [node] if index is None else [user for user in node.users if user.args[1:] == (index,)]
                if any(user.op != "output" for each in places for user in each.users):
                    found.setdefault(node.name, []).append(value if index is None else value[index])
            return value

    with torch.no_grad():
        for sample in samples:
            Watching(module).run(*sample)
    return found


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
