"""What a target cannot run is said in one sentence that names the layer or operator, before it is lowered where that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import sdk
from sdk.errors import LoweringError
from sdk.lowering.discovery import find_target
from sdk.models.load import load_model


class Function(nn.Module):
    """A module of a plain function and one layer."""

    def __init__(self, function: Callable[..., Any], layer: nn.Module) -> None:
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.layer)


@pytest.mark.parametrize(("target", "words"), [("executorch", "ExecuTorch's kernels"), ("tflite", "the converter to LiteRT")])
def test_a_transposed_convolution_over_three_axes_is_named(target: str, words: str) -> None:
    model = load_model(Function(lambda x, layer: layer(x), nn.ConvTranspose3d(2, 2, 3)).eval(), (torch.randn(1, 2, 4, 4, 4),))
    with pytest.raises(LoweringError, match=rf"layer layer \(conv_transpose3d\): {words}"):
        find_target(target).price(model, {}, None)


def test_litert_names_what_its_converter_cannot_write() -> None:
    from targets.tflite.convert import convert

    grouped = Function(lambda x, up: up(x), nn.ConvTranspose2d(4, 4, 2, groups=2)).eval()
    with pytest.raises(LoweringError, match="layer layer: LiteRT has no"):
        convert(load_model(grouped, (torch.randn(1, 4, 4, 4),)))


def test_core_ml_takes_bytes_that_are_cast_and_no_others() -> None:
    from targets.coreml.prepare import prepare

    example = (torch.randint(0, 256, (1, 4), dtype=torch.uint8),)
    for turned in (lambda x: x, lambda x: x.T[:, None].permute(1, 2, 0)):  # as they are, and as an image's channels
        prepared = prepare(load_model(Function(lambda x, layer, t=turned: layer(t(x).float()), nn.Linear(4, 2)).eval(), example))
        (given,) = prepared.program.example_inputs[0]
        assert given.dtype == torch.int32
    with pytest.raises(LoweringError, match="is uint8, which Core ML does not take"):
        prepare(load_model(Function(lambda x, layer: layer((x + x).float()), nn.Linear(4, 2)).eval(), example))


def test_core_ml_takes_composite_casts() -> None:
    """A cast that a program brings as torch's composite operator has no converter, and is none after a trace."""
    from targets.coreml.prepare import prepare

    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.zeros(1, 4)
            y[:, :2] = x[:, :2].argsort()  # whole numbers, assigned to floats
            return self.layer(y)

    prepare(load_model(Filled().eval(), (torch.randn(1, 4),)))


@pytest.mark.parametrize(("function", "named"), [
    (lambda x, layer: torch.linalg.inv(layer(x)), "operator linalg_inv of "),  # an error of coremltools' converter
    (lambda x, layer: torch.special.i0(layer(x)), "no converter for prims.bessel_i0.default"),
])  # fmt: skip
def test_what_coremltools_does_not_convert_is_named_with_a_mend(function: Callable[..., Any], named: str) -> None:
    from targets.coreml.convert import convert

    model = load_model(Function(function, nn.Linear(4, 4)).eval(), (torch.randn(1, 4, 4),))
    with pytest.raises(LoweringError, match=rf"coreml: .*{named}.*: write the model without, or choose another target"):
        convert(model, 18)


def test_what_executorch_lacks_is_named_with_a_mend() -> None:
    net = Function(lambda x, layer: torch.linalg.inv(layer(x)), nn.Linear(4, 4)).eval()
    with pytest.raises(LoweringError, match=r"aten\.linalg_inv_ex\.default may be what it lacks: write the model without"):
        sdk.plan(net, device="pixel8", target="executorch", calibration=[(torch.randn(1, 4, 4),)], uniform="fp32")
