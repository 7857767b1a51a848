"""Recurrent layers in the forms that applications write, and a check that a target computes what torch does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import sdk

Forms = Mapping[str, tuple[Callable[[], nn.RNNBase], tuple[int, ...]]]
"""Name → what makes the layer, and the shape of its input."""

FORMS: Forms = {
    "lstm": (lambda: nn.LSTM(5, 8, batch_first=True), (2, 7, 5)), "gru": (lambda: nn.GRU(5, 8), (7, 2, 5)),
    "stacked": (lambda: nn.LSTM(5, 8, 3), (6, 1, 5)),
    "both ways": (lambda: nn.GRU(5, 8, 2, bidirectional=True, batch_first=True), (1, 6, 5)),
    "unbatched": (lambda: nn.LSTM(5, 8, bidirectional=True), (6, 5)), "no biases": (lambda: nn.GRU(5, 8, bias=False), (6, 1, 5)),
    "one step": (lambda: nn.LSTM(5, 8), (1, 1, 5)),
}  # fmt: skip

USUAL = ("lstm", "both ways", "stacked")


class Read(nn.Module):
    """What of a recurrent layer an application reads; `front`: behind a linear layer."""

    def __init__(self, layer: nn.Module, what: str, front: bool = False) -> None:
        super().__init__()
        self.layer, self.what, self.front = layer, what, nn.Linear(5, 5) if front else nn.Identity()

    def forward(self, x: torch.Tensor) -> Any:
        y, state = self.layer(self.front(x))
        states = state if isinstance(state, tuple) else (state,)
        return {"all": (y, *states), "last": states[0][-1], "outputs": torch.relu(y)}[self.what]


def cases(forms: Forms) -> list[Any]:
    """Each form and what is read of it; all but the usual ones are slow."""
    found = [*((form, "all") for form in forms), ("stacked", "last"), ("both ways", "outputs")]
    return [pytest.param(*case, marks=() if case[0] in USUAL and case[1] != "outputs" else pytest.mark.slow) for case in found]


def check_outputs(forms: Forms, form: str, what: str, target: str, out: Path, front: bool = False) -> None:
    """Package the form for the target to `out` and compare what it computes with torch."""
    make, shape = forms[form]
    torch.manual_seed(0)
    net = Read(make(), what, front).eval()
    samples = [(torch.randn(shape),) for _ in range(2)]
    bundle = sdk.package(net, device="pixel8", target=target, calibration=samples, uniform="fp32", out=out)
    for sample in samples:
        for found, wanted in zip(bundle.run(*sample), (net(*sample),) if what != "all" else net(*sample), strict=True):
            torch.testing.assert_close(torch.as_tensor(found), wanted, rtol=1e-5, atol=1e-5)


class Two(nn.Module):
    """A layer in both directions, and another one on what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.one = nn.LSTM(5, 8, batch_first=True, bidirectional=True), nn.GRU(16, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.one(self.both(x)[0])[0]
        return found


def check_two(target: str, out: Path) -> None:
    """Package two layers, one behind the other, for the target to `out` and compare what they compute with torch."""
    torch.manual_seed(0)
    net, x = Two().eval(), torch.randn(1, 6, 5)
    bundle = sdk.package(net, device="pixel8", target=target, calibration=[(x,)], uniform="fp32", out=out)
    torch.testing.assert_close(torch.as_tensor(bundle.run(x)[0]), net(x), rtol=1e-5, atol=1e-5)
