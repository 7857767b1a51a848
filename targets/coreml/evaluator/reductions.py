"""MIL's reductions, sorting and searching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from targets.coreml.evaluator.elementwise import number


def _reduce(function: Callable[[Any, list[int], bool], Any]) -> Callable[..., Any]:
    """Give a reduction MIL's parameters: no axes means all of them."""

    def run(x: Any, axes: Any = None, keep_dims: Any = None) -> Any:
        chosen = list(range(x.dim())) if axes is None else [int(a) for a in axes.reshape(-1)]
        return function(x, chosen, bool(number(keep_dims, False)))

    return run


def _product(x: Any, axes: list[int], keep: bool) -> Any:
    for axis in sorted((a % x.dim() for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _arg(name: str) -> Callable[..., Any]:
    def run(x: Any, axis: Any = None, keep_dims: Any = None, output_dtype: str = "int32") -> Any:
        import torch

        return getattr(torch, name)(x, int(number(axis, -1)), bool(number(keep_dims, False))).int()

    return run


def _cumsum(x: Any, axis: Any = None, exclusive: Any = None, reverse: Any = None) -> Any:
    import torch

    at = int(number(axis, 0))
    flipped = x.flip(at) if number(reverse, False) else x
    total = torch.cumsum(flipped, at).to(x.dtype)
    total = total - flipped if number(exclusive, False) else total
    return total.flip(at) if number(reverse, False) else total


def _topk(
    x: Any, k: Any = None, axis: Any = None, ascending: Any = None, sort: Any = None, return_indices: Any = None,
    output_indices_dtype: str = "int32",
) -> Any:
    import torch

    found = torch.topk(x, int(number(k, 1)), int(number(axis, -1)), largest=not number(ascending, False))
    return [found.values, found.indices.int()] if number(return_indices, True) else found.values


def _argsort(x: Any, axis: Any = None, ascending: Any = None) -> Any:
    import torch

    return torch.argsort(x, int(number(axis, -1)), descending=not number(ascending, False)).int()


def table() -> dict[str, Callable[..., Any]]:
    """Return the operations by MIL's name."""
    import torch

    rules: dict[str, Callable[[Any, list[int], bool], Any]] = {
        "sum": lambda x, a, k: x.sum(a, keepdim=k).to(x.dtype),
        "mean": lambda x, a, k: x.mean(a, keepdim=k),
        "max": lambda x, a, k: x.amax(a, keepdim=k),
        "min": lambda x, a, k: x.amin(a, keepdim=k),
        "prod": _product,
        "l1_norm": lambda x, a, k: x.abs().sum(a, keepdim=k),
        "l2_norm": lambda x, a, k: x.square().sum(a, keepdim=k).sqrt(),
        "sum_square": lambda x, a, k: x.square().sum(a, keepdim=k),
        "log_sum": lambda x, a, k: x.sum(a, keepdim=k).log(),
        "log_sum_exp": lambda x, a, k: torch.logsumexp(x, a, keepdim=k),
    }
    named = {f"reduce_{name}": _reduce(function) for name, function in rules.items()}
    return {
        **named, "reduce_argmax": _arg("argmax"), "reduce_argmin": _arg("argmin"), "cumsum": _cumsum, "topk": _topk,
        "argsort": _argsort, "non_zero": lambda x: torch.nonzero(x).int(),
    }
