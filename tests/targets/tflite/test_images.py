"""Images stay in the order of the kernels through paddings and arithmetic with constants of channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("litert_torch")

from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes.catalogue import scheme_named
from targets.tflite import TARGET
from targets.tflite.flatbuffer import builtin_name, read


class Between(nn.Module):
    """Two convolutions, and something between their images."""

    def __init__(self, between: Callable[[nn.Module, Any], Any], **parts: Any) -> None:
        super().__init__()
        self.one, self.two, self.between = nn.Conv2d(3, 8, 3, padding=1), nn.LazyConv2d(4, 1), between
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        return self.two(self.between(self, self.one(x)))


def _wider(network: Any, x: Any) -> Any:
    """More channels and an uneven border beside the image."""
    return functional.pad(x, (0, 0, 0, 0, 1, 3)) + functional.pad(x, (1, 0, 0, 2, 2, 2), value=0.5)[:, :, 2:, 1:]


def _scaled(network: Any, x: Any) -> Any:
    return functional.gelu(x) * network.factors + network.terms - 0.5


def _normalised(network: Any, x: Any) -> Any:
    return network.norm(functional.gelu(x))


@pytest.mark.parametrize(("between", "parts"), [
    (_wider, {}),
    (_scaled, {"factors": nn.Parameter(torch.rand(8, 1, 1)), "terms": nn.Parameter(torch.rand(1, 8, 1, 1))}),
    (_normalised, {"norm": nn.BatchNorm2d(8)}),
])  # fmt: skip
@pytest.mark.parametrize("scheme", ["fp32", "int8_channel_dynamic"])
def test_nothing_turns_an_image_but_the_input(between: Any, parts: dict[str, Any], scheme: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, inputs = Between(between, **parts).eval(), (torch.rand(1, 3, 12, 10),)
    network(*inputs)
    if "norm" in parts:
        parts["norm"].running_var.uniform_(0.5, 2.0)
        parts["norm"].running_mean.uniform_(-1.0, 1.0)
    model = load_model(network, inputs)
    quantized = quantize(model, {layer.name: scheme_named(scheme) for layer in model.inventory.layers}, {})
    TARGET.lower(quantized, tmp_path / TARGET.artifact, None, lambda _: None)
    flat = read((tmp_path / TARGET.artifact).read_bytes())
    found = [builtin_name(flat, op) for op in flat.subgraphs[0].operators]
    assert [name for name in found if name in ("TRANSPOSE", "RESHAPE")] in (["TRANSPOSE"] * 2, ["TRANSPOSE"])  # in, maybe out
    executed = TARGET.open(tmp_path / TARGET.artifact).run([tensor.numpy() for tensor in inputs])
    with torch.no_grad():
        expected = network(*inputs)
    off = np.abs(np.asarray(executed[0]) - expected.numpy()).max()
    assert off <= (1e-5 if scheme == "fp32" else 0.03) * float(expected.abs().max())
