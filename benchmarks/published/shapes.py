"""Counts what one inference computes and moves: multiply-accumulates by kind, weights, activations, operators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = frozenset({
    "view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "unsqueeze", "squeeze", "slice", "detach", "alias",
    "select", "split", "chunk", "unbind",
})  # fmt: skip
FUSED = frozenset({"native_batch_norm", "_native_batch_norm_legit_no_training", "relu", "relu_", "hardtanh", "hardtanh_"})
"""Operators that every runtime makes part of the one before."""


@dataclass
class Shapes:
    """Of one inference: MACs of dense and of grouped convolutions and of products of two activations, elements, operators."""

    dense: float = 0.0
    grouped: float = 0.0
    products: float = 0.0
    weights: float = 0.0
    activations: float = 0.0
    operators: int = 0

    @property
    def macs(self) -> float:
        return self.dense + self.grouped + self.products


def count(build: Any, inputs: Any) -> Shapes:
    """Run a model on the meta device, where nothing is computed."""
    with torch.device("meta"):
        model, given = build().eval(), inputs()
    found = Shapes(weights=float(sum(p.numel() for p in model.parameters())))
    with torch.no_grad(), _Counting(found):
        model(**given)
    return found


class _Counting(TorchDispatchMode):
    def __init__(self, found: Shapes) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in VIEWS or name in FUSED:
            return out
        first = out[0] if isinstance(out, tuple | list) else out
        if isinstance(first, torch.Tensor):
            self.found.operators += 1
            self.found.activations += first.numel()
            self._products(name, args, first)
        return out

    def _products(self, name: str, args: Any, out: Any) -> None:
        if name == "convolution":
            weight, transposed, groups = args[1], args[6], args[8]
            macs = (math.prod(args[0].shape) // args[0].shape[1] * weight.numel() if transposed
                    else math.prod(out.shape) // out.shape[1] * weight.numel())  # fmt: skip
            if groups > 1:
                self.found.grouped += macs
            else:
                self.found.dense += macs
        elif name in ("mm", "addmm"):
            self.found.dense += out.numel() * args[-2].shape[-1]
        elif name in ("bmm", "baddbmm"):
            self.found.products += out.numel() * args[-2].shape[-1]
