"""An artifact is compared with the quantized model output by output, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize, reference
from sdk.verify.parity import compare


class Two(nn.Module):
    """One output that is ten thousand times as large as the other, and a label."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.layer(x)
        return 1e4 * y, y.tanh(), y.argmax(-1)


@pytest.mark.parametrize(("wrong", "found"), [((), 0.0), ((1,), 2.0), ((2,), 0.0)])
def test_one_wrong_output_is_seen_beside_a_large_one_and_a_label_is_not_measured(wrong: tuple[int, ...], found: float) -> None:
    torch.manual_seed(0)
    net = Two().eval()
    model = load_model(net, (torch.randn(2, 8),))
    samples = take_samples(model, None)

    def run(arrays: list[Any]) -> list[Any]:
        with torch.no_grad():
            made = net(*map(torch.from_numpy, arrays))
        return [(-each if place in wrong else each).numpy() for place, each in enumerate(made)]

    executable: Any = SimpleNamespace(run=run, runtime="none", origin="host")
    parity = compare(model, quantize(model, {}), executable, reference, samples, "mse")
    assert parity.relative_error == pytest.approx(found, abs=1e-3)
