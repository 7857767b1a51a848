"""Operators written as simpler ones: nothing changes but what the graph is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as attend

from sdk.models.load import load_model
from sdk.models.simpler import write_simpler


class Apply(nn.Module):
    """A function of one layer's result."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(24, 24), function

    def forward(self, x: Any) -> Any:
        return self.function(self.layer(x))


def _heads(x: Any) -> Any:
    return x.view(1, 6, 4, 6).transpose(1, 2)


def _hidden(x: Any) -> Any:
    """A mask that leaves nothing of one row."""
    return x[..., :6].sum(0).gt(0) & (torch.arange(6)[:, None] != 2)


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "split": (lambda x: sum(x.split([4, 8, 12], -1)[0].sum(-1) - part.sum(-1) for part in x.split([4, 8, 12], -1)), {"split"}),
    "chunk": (lambda x: torch.mul(*x.chunk(2, 1)), {"chunk"}),
    "unbind": (lambda x: torch.add(*x.view(1, 6, 2, 12).permute(2, 0, 1, 3).unbind(0)), {"unbind"}),
    "select": (lambda x: x[:, -2], {"select"}),
    "mean": (lambda x: x.view(1, 6, 4, 6).mean((2, 3)), set()),
    "mean of the last axis": (lambda x: x / x.mean(-1, keepdim=True), {"mean"}),
    "mean of tokens": (lambda x: x.mean(1), {"mean"}),
    "sum": (lambda x: x.view(1, 6, 4, 6).sum((1, 2)), {"sum"}),
    "norm": (lambda x: x.norm(dim=-1, keepdim=True), {"linalg_vector_norm"}),
    "normalized": (lambda x: nn.functional.normalize(x, dim=-1), {"linalg_vector_norm", "expand"}),
    "expanded for more": (lambda x: x[:, :1].expand(1, 6, 24) * 2 + x, set()),
    "norm of places": (lambda x: x.view(1, 2, 3, 24).norm(dim=(1, 2), keepdim=True), {"linalg_vector_norm"}),
    "norm of two images": (lambda x: x.view(2, 3, 4, 6).norm(dim=(1, 2)), {"linalg_vector_norm"}),
    "sum of separate axes": (lambda x: x.view(1, 6, 4, 6).sum((1, 3)), set()),
    "maximum of channels": (lambda x: x.view(1, 6, 4, 6).max(1, keepdim=True)[0], {"max"}),
    "maximum that drops its axis": (lambda x: x.view(1, 6, 4, 6).max(-1)[0], {"max"}),
    "maximum and its place": (lambda x: x.view(1, 6, 4, 6).max(-1)[1] * x.mean(), set()),
    "silu": (nn.functional.silu, {"silu"}),
    "square": (lambda x: x**2, {"pow"}),
    "cube": (lambda x: torch.pow(x, 3.0), {"pow"}),
    "attention": (lambda x: attend(_heads(x), _heads(x), _heads(x)), {"scaled_dot_product_attention"}),
    "scaled attention": (lambda x: attend(_heads(x), _heads(x), _heads(x), scale=1.0), {"scaled_dot_product_attention"}),
    "causal": (lambda x: attend(_heads(x), _heads(x), _heads(x), is_causal=True), {"scaled_dot_product_attention"}),
    "masked": (lambda x: attend(_heads(x), _heads(x), _heads(x), _hidden(x)), {"scaled_dot_product_attention"}),
    "added mask": (lambda x: attend(_heads(x), _heads(x), _heads(x), x[..., :6]), {"scaled_dot_product_attention"}),
}
"""Name → the function, and the operators that are gone afterwards."""


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_written_simpler_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    function, gone = FUNCTIONS[name]
    given = torch.randn(1, 6, 24)
    model = load_model(Apply(function).eval(), (given,))
    plain, simpler = model.module(), model.module()
    write_simpler(simpler)
    simpler.recompile()
    left = {getattr(node.target, "__name__", "").partition(".")[0] for node in simpler.graph.nodes if node.op == "call_function"}
    assert not gone & left
    for one, two in zip(plain(given), simpler(given), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
