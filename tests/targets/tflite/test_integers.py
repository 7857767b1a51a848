"""Functions of whole numbers of 64 bits convert, though the format has them of floats or of 32 bits alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.tflite import TARGET


class Computed(nn.Module):
    def __init__(self, compute: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: torch.Tensor) -> Any:
        return self.compute(x)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("compute", [torch.sign, torch.abs, lambda x: x**2 + x**3, lambda x: x.argmax(1), lambda x: x.argmin()])
def test_whole_numbers_are_computed_with_as_in_torch(
    compute: Callable[[torch.Tensor], torch.Tensor], kind: torch.dtype, tmp_path: Path
) -> None:
    x = torch.tensor([[0, 1, -1, 7, -200]], dtype=kind)
    path = tmp_path / "net.tflite"
    TARGET.lower(quantize(load_model(Computed(compute), (x,)), {}), path, None, lambda _: None)
    assert torch.equal(torch.from_numpy(TARGET.open(path).run([x.numpy()])[0]), compute(x))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8])
def test_narrow_numbers_are_compared(kind: torch.dtype, tmp_path: Path) -> None:
    def compute(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x > 3).float(), (x[:, 1:] == x[:, :-1]).float(), x.amax(1), torch.minimum(x[:, 1:], x[:, :-1])

    x, path = torch.tensor([[0, 1, 100, 7, 7]], dtype=kind), tmp_path / "net.tflite"
    TARGET.lower(quantize(load_model(Computed(compute), (x,)), {}), path, None, lambda _: None)
    for got, want in zip(TARGET.open(path).run([x.numpy()]), compute(x), strict=True):
        assert torch.equal(torch.from_numpy(got), want)


class Looped(nn.Module):
    """Neighbours of nodes, each its own neighbour too: a diagonal that would make the file much larger is made at run time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, nodes: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer((near + torch.eye(24)) @ nodes)
        return result


def test_a_diagonal_converts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, inputs, path = Looped().eval(), (torch.randn(1, 24, 8), torch.rand(1, 24, 24)), tmp_path / "net.tflite"
    TARGET.lower(quantize(load_model(net, inputs), {"layer": scheme_named("fp32")}), path, None, lambda _: None)
    got = torch.from_numpy(TARGET.open(path).run([each.numpy() for each in inputs])[0])
    torch.testing.assert_close(got, net(*inputs).detach(), rtol=1e-5, atol=1e-5)


def test_what_is_counted_is_joined_with_other_numbers(tmp_path: Path) -> None:
    def compute(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = torch.arange(5).expand(1, 5)
        counted = torch.cat([x, places, torch.arange(2, 7)[None], torch.arange(1, 10, 2)[None]])
        return counted, torch.stack([places, x.abs()], -1) - 0.5

    x, path = torch.tensor([[0, 1, -1, 7, -200]]), tmp_path / "net.tflite"
    TARGET.lower(quantize(load_model(Computed(compute), (x,)), {}), path, None, lambda _: None)
    for got, want in zip(TARGET.open(path).run([x.numpy()]), compute(x), strict=True):
        assert torch.equal(torch.from_numpy(got), want)
