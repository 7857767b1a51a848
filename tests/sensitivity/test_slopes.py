"""Roots of what is zero, such as the spectrum of a pause, neither stop the statistics nor count in them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.sensitivity import finite_slopes, take_statistics


class _Amplitudes(nn.Module):
    """The amplitude of every channel of two layers, by `sqrt` or by a power."""

    def __init__(self, exponent: float | None) -> None:
        super().__init__()
        self.real, self.imaginary, self.last = nn.Linear(6, 5, bias=False), nn.Linear(6, 5, bias=False), nn.Linear(5, 3)
        self.exponent = exponent

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        power = self.real(x).square() + self.imaginary(x).square()
        return self.last(power.sqrt() if self.exponent is None else power**self.exponent)


@pytest.mark.parametrize("exponent", [None, 0.25])
def test_a_silent_sample_adds_nothing_to_the_importance(exponent: float | None) -> None:
    torch.manual_seed(0)
    heard = [(torch.randn(1, 6),) for _ in range(3)]
    model = load_model(_Amplitudes(exponent).eval(), heard[0])
    with_pause = take_statistics(model, take_samples(model, [*heard, (torch.zeros(1, 6),)]), "mse").importance
    without = take_statistics(model, take_samples(model, heard), "mse").importance
    for layer in ("real", "imaginary"):
        assert torch.equal(with_pause[f"{layer}.weight"], without[f"{layer}.weight"])
        assert with_pause[f"{layer}.weight"].isfinite().all()


@pytest.mark.parametrize("exponent", [None, 0.25])
def test_outputs_stay_the_same(exponent: float | None) -> None:
    torch.manual_seed(0)
    model = load_model(_Amplitudes(exponent).eval(), (torch.randn(1, 6),))
    plain, changed = model.module(), finite_slopes(model.module())
    for sample in (torch.randn(1, 6), torch.zeros(1, 6)):
        assert torch.equal(plain(sample)[0], changed(sample)[0])


def test_a_step_that_torch_has_no_derivative_of_is_passed() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.last = nn.Linear(6, 5), nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(x) * torch.heaviside(self.gate(x), torch.tensor(0.5))

    samples = [(torch.randn(1, 6),) for _ in range(3)]
    model = load_model(Gated().eval(), samples[0])
    assert take_statistics(model, take_samples(model, samples), "mse").importance["last.weight"].max() > 0
