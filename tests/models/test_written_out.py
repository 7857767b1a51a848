"""Operators that runtimes lack are written in those that all have: none is left, and the numbers are torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from sdk.models.load import load_model

Compute = Callable[[torch.Tensor], Any]
INTERPOLATIONS = ("lower", "higher", "nearest", "midpoint")
ROWS, IMAGE = (1, 6, 12), (2, 3, 10, 7)


class Computed(nn.Module):
    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.scale, self.compute = nn.Parameter(torch.tensor(1.5)), compute

    def forward(self, x: torch.Tensor) -> Any:
        return self.compute(x * self.scale)


def _folded(x: torch.Tensor, *args: Any, **places: Any) -> torch.Tensor:
    return functional.fold(functional.unfold(x, *args, **places), x.shape[-2:], *args, **places)


def _unpooled(x: torch.Tensor, kernel: Any) -> torch.Tensor:
    """Other values at the places of the maxima; windows with several equal ones among them."""
    most, places = functional.max_pool2d(x.relu(), kernel, return_indices=True)
    return functional.max_unpool2d(most * 2 + 1, places, kernel, output_size=x.shape[-2:])


def _put(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rows put at places of the second axis; the last of several at one place stays."""
    held, rows = x.clone(), places.flatten(1)
    held[torch.zeros(1, 1, dtype=torch.long), rows] = torch.arange(rows.shape[1]).float()[None, :, None] + x[:, :1]
    return held


def _cached(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    cache = x.clone()
    cache[:, :, places] = x[:, :, 5:8] + 1
    return cache


@pytest.mark.parametrize(("compute", "shape", "gone"), [
    (lambda x: functional.interpolate(x, size=(5, 4), mode="bilinear", antialias=True), IMAGE, "_aa"),
    (lambda x: functional.interpolate(x, scale_factor=(0.4, 1.3), mode="bicubic", antialias=True), IMAGE, "_aa"),
    (lambda x: x.cumprod(1), ROWS, "cumprod"),
    (lambda x: x.logcumsumexp(-1), ROWS, "logcumsumexp"),
    (lambda x: (x.round().cummax(1), x.round().cummin(-1)), ROWS, "cumm"),
    (lambda x: (torch.std_mean(x), torch.var_mean(x, (0, 2), correction=0, keepdim=True)), ROWS, "_mean"),
    (lambda x: [functional.cosine_similarity(x, *other) for other in (
        (x.flip(-1), -1), (x[0, 1], -1), (x[:, :1].flip(2), 1), (x * 1e-3, 1, 0.5))], ROWS, "cosine"),
    (lambda x: torch.ones(1, 4, 12).index_add(1, torch.tensor([0, 1, 1, 2, 3, 0]), x, alpha=0.5), ROWS, "index_add"),
    (lambda x: torch.ones(1, 6, 4).index_add(-1, x[0, 0].argsort() % 4, x), ROWS, "index_add"),
    (lambda x: (x.quantile(0.3, -1), x.quantile(torch.tensor([0.0, 1.0, 0.25]), 1, True), x.quantile(0.4)), ROWS, "quantile"),
    (lambda x: [x.quantile(0.37, 1, interpolation=each) for each in INTERPOLATIONS], ROWS, "quantile"),
    (lambda x: x.sort(dim=1, stable=True).values, ROWS, "sort"),
    (lambda x: (_folded(x, 3, padding=1), _folded(x, (5, 4), stride=(2, 3)), _folded(x, 2, stride=3)), IMAGE, "col2im"),
    (lambda x: (x.unfold(1, 3, 2), x.unfold(-1, 4, 4), x[0, 0].unfold(0, 12, 1)), ROWS, "unfold"),
    (lambda x: (_put(x, x[:, :, :2].argsort(1)), _put(x, torch.tensor([[[5, 5], [-1, 2]]]))), ROWS, "index_put"),
    (lambda x: (x.index_copy(1, x[0, :2, 0].argsort() + 3, x[:, :2] * 2), _cached(x, x[0, 0, :3].argsort() - 1)), ROWS, "x_copy"),
    (lambda x: [x.scatter(axis, x[:, :3, :6].argsort(axis).repeat(1, *times), *put) for axis, times, *put in (
        (-1, (2, 1), x[:, :, :6] + 9), (1, (1, 2), x[:, :3] * 2), (2, (2, 1), 0.5))], ROWS, "scatter"),
    (lambda x: (_unpooled(x, 2), _unpooled(x, (5, 3))), IMAGE, "unpool"),
])  # fmt: skip
def test_what_is_written_out_is_as_in_torch(compute: Compute, shape: tuple[int, ...], gone: str) -> None:
    torch.manual_seed(0)
    net, x = Computed(compute).eval(), torch.randn(shape)
    model = load_model(net, (x,))
    called = [node.target for node in model.program.graph.nodes if node.op == "call_function"]
    assert not [target for target in called if gone in str(target)]
    for want, got in zip(pytree.tree_leaves(net(x)), model.module()(x), strict=True):
        assert want.dtype == got.dtype
        torch.testing.assert_close(got, want, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(("compute", "left"), [
    (lambda x: _folded(x, 3, dilation=2), "col2im"),
    (lambda x: functional.max_unpool2d(*functional.max_pool2d(x, 3, 2, return_indices=True), 3, 2), "max_unpool2d"),
    (lambda x: x.sort(dim=1, stable=True).indices, "sort"),
])  # fmt: skip
def test_what_would_not_be_the_same_stays(compute: Compute, left: str) -> None:
    model = load_model(Computed(compute).eval(), (torch.randn(1, 2, 9, 7),))
    assert any(left in str(node.target) for node in model.program.graph.nodes)


def test_padding_that_cuts_is_a_part() -> None:
    cuts = ((0, 0, 1, -1), (-2, 3), (-1, -1, -1, 0))
    net, x = Computed(lambda x: [functional.pad(x, borders, value=0.5) for borders in cuts]).eval(), torch.randn(ROWS)
    model = load_model(net, (x,))
    pads = [node.args[1] for node in model.program.graph.nodes if "pad" in str(node.target)]
    assert pads and all(border >= 0 for borders in pads for border in borders)
    for made, expected in zip(pytree.tree_leaves(model.program.module()(x)), net(x), strict=True):
        assert torch.equal(made, expected)
