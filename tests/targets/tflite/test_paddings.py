"""Paddings in front of static layers: in 8 bits, so that XNNPACK pads within the convolution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("litert_torch")

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.schemes.catalogue import scheme_named
from sdk.sensitivity.ranges import calibrate_ranges
from targets.tflite import TARGET
from targets.tflite.flatbuffer import builtin_name, read


def lowered(module: nn.Module, static: set[str], path: Path) -> tuple[Any, Any, list[str]]:
    """The quantized model, its inputs and the file's operators."""
    inputs = (torch.rand(1, 3, 32, 32),)
    model = load_model(module.eval(), inputs)
    layers = [layer for layer in model.inventory.layers if layer.name in static]
    ranges = calibrate_ranges(model, layers, take_samples(model, [inputs], 1))
    schemes = {layer.name: scheme_named("int8_channel_static" if layer in layers else "fp32") for layer in model.inventory.layers}
    quantized = quantize(model, schemes, ranges)
    TARGET.lower(quantized, path, None, lambda _: None)
    flat = read(path.read_bytes())
    return quantized, inputs, [builtin_name(flat, op) for op in flat.subgraphs[0].operators]


def test_a_strided_layer_is_padded_in_8_bits_whatever_is_in_front_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Sigmoid(), nn.Conv2d(8, 4, 3, 2, 1)
    )
    quantized, inputs, found = lowered(module, {"0", "2", "4"}, tmp_path / TARGET.artifact)
    pads = [i for i, name in enumerate(found) if name == "PAD"]
    assert len(pads) == 3
    assert [found[i - 1] for i in pads] == ["QUANTIZE", "CONV_2D", "QUANTIZE"]  # the second one stays in 8 bits altogether
    assert found.count("QUANTIZE") == 2 and found.count("DEQUANTIZE") == 2
    executed = TARGET.open(tmp_path / TARGET.artifact).run([tensor.numpy() for tensor in inputs])
    reference = TARGET.reference(quantized)(*inputs)
    step = quantized.ranges[quantized.model.inventory.layers[-1].output].scale
    assert np.abs(np.asarray(executed[0]) - reference[0].numpy()).max() <= 1.01 * step


def test_a_padding_that_others_read_stays_in_floats(tmp_path: Path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(3, 4, 3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            padded = nn.functional.pad(x, (1, 1, 1, 1))
            return self.one(padded) + self.two(padded)

    torch.manual_seed(0)
    _, inputs, found = lowered(Shared(), {"one"}, tmp_path / TARGET.artifact)
    assert found.index("PAD") < found.index("QUANTIZE")
    assert np.isfinite(np.asarray(TARGET.open(tmp_path / TARGET.artifact).run([tensor.numpy() for tensor in inputs])[0])).all()
