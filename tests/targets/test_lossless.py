"""Weights that lie on a 4-bit grid already are in every target's file as they were: read back equal, code by code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sdk.lowering.discovery import find_target
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from tests.rounding.test_lattice import on_grid

pytestmark = pytest.mark.filterwarnings("ignore")

SCHEMES = {"null": "int4_g32", "executorch": "int4_g32_dynamic", "tflite": "int4_g32_dynamic", "coreml": "int4_g32"}


@pytest.mark.parametrize("low", [-8, -1])
@pytest.mark.parametrize("name", SCHEMES)
def test_a_weight_on_a_grid_is_stored_as_it_is(name: str, low: int, tmp_path: Path) -> None:
    target = find_target(name)
    if target.toolchain().missing:
        pytest.skip("toolchain not installed")
    net = torch.nn.Sequential(torch.nn.Linear(128, 64))
    net[0].weight.data = on_grid(5, 32, low, -low - (low == -8), 128, 64)
    model = load_model(net.eval(), (torch.eye(128),))
    quantized = quantize(model, {"0": scheme_named(SCHEMES[name])})
    assert torch.equal(quantized.grids["0"][0].dequantize(), net[0].weight.data)
    path = tmp_path / target.artifact
    sites = target.lower(quantized, path, None, lambda text: None)  # it finds codes and scales by their content
    assert target.realised(path, sites)["0"].scheme == SCHEMES[name]
    (got,) = target.open(path).run([np.eye(128, dtype=np.float32)])
    want = (net[0].weight.data.T + net[0].bias.data).numpy()
    assert np.abs(got - want).max() <= (2e-3 if name == "coreml" else 1e-6) * np.abs(want).max()
