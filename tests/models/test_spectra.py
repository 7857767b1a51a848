"""Complex numbers become pairs of real ones, with the results of torch's own transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fft, nn

from sdk.errors import BadInput
from sdk.models.load import load_model

WINDOW = torch.hann_window(16)


class Function(nn.Module):
    """A linear layer, and a function of what it makes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function, self.layer = function, nn.Linear(12, 12)
        self.weight = nn.Parameter(torch.randn(7, dtype=torch.cfloat))

    def forward(self, x: Any) -> Any:
        return self.function(self.layer(x))


def _turned(x: Any) -> Any:
    pairs = torch.view_as_complex(x.reshape(2, 16, 6, 2))
    turns = torch.polar(torch.ones(16, 6), torch.outer(torch.arange(16.0), torch.arange(6.0) / 7))
    return torch.view_as_real(pairs * turns).flatten(2)


def _masked(x: Any, **words: Any) -> Any:
    spectrum = torch.stft(x.flatten(1), 16, 4, window=WINDOW, return_complex=True, **words)
    return torch.istft(spectrum * torch.sigmoid(spectrum.abs()), 16, 4, window=WINDOW, length=192, **words)


def _frames(x: Any, **words: Any) -> Any:
    return torch.stft(x.flatten(1), 16, 4, return_complex=True, **words).abs() ** 2


def _assigned(x: Any) -> Any:
    """The spectral convolution of a Fourier neural operator: low frequencies are mixed and put among zeros."""
    spectrum, mixed = fft.rfft(x), torch.zeros(2, 5, 7, dtype=torch.cfloat)
    mixed[..., :4] = torch.einsum("bif,iof->bof", spectrum[..., :4], torch.polar(torch.ones(16, 5, 4), torch.arange(4.0)))
    mixed[:, 0] = 1j
    return fft.irfft(mixed, n=12)


def _halves(x: Any) -> Any:
    low, high = fft.fft(x).chunk(2, -1)
    return torch.view_as_real(torch.cat([high, low], -1))


CASES: dict[str, Callable[[Any], Any]] = {
    "one axis": lambda x: fft.rfft(x).abs(),
    "padded": lambda x: fft.rfft(x, n=20).imag,
    "cut": lambda x: torch.view_as_real(fft.fft(x, n=5, dim=1)),
    "two axes": lambda x: fft.fftn(x, dim=(1, 2)).real,
    "two axes, orthonormal": lambda x: torch.view_as_real(fft.fft2(x, norm="ortho")),
    "there and back": lambda x: fft.irfft(fft.rfft(x, dim=1) * 2j, dim=1),
    "odd length": lambda x: fft.irfft(fft.rfft(x, n=11), n=11, norm="forward"),
    "two axes back": lambda x: fft.irfft2(fft.rfft2(x) * (1 - fft.rfft2(x).conj())),
    "few waves": lambda x: fft.irfft(fft.rfft(x, norm="ortho")[..., :4], n=12, norm="ortho"),
    "complex back": lambda x: fft.ifft(fft.fft(x, dim=1) * (1 + 1j), dim=1).imag,
    "quotient": lambda x: (fft.rfft(x) / (fft.rfft(x + 1) + 3)).abs(),
    "joined": lambda x: torch.cat([fft.rfft(x), fft.rfft(x * 2)], 1).sum(1).angle().cos(),
    "turned by positions": _turned,
    "frames": _frames,
    "frames of a window": lambda x: _frames(x, win_length=10, window=torch.hann_window(10), normalized=True),
    "frames without centre": lambda x: _frames(x, center=False, onesided=False),
    "signal of a masked spectrum": _masked,
    "a size and a phase": lambda x: fft.irfft(x[..., :7].exp() * torch.exp(1j * x[..., 5:])),
    "low frequencies among zeros": _assigned,
    "covariances": lambda x: torch.view_as_real(fft.rfft(x) @ fft.rfft(x).mH),
    "three factors": lambda x: torch.einsum("bcf,bdf,bef->bcde", fft.rfft(x), fft.rfft(x + 1).conj(), fft.rfft(x) * 1j).imag,
    "padded spectrum": lambda x: fft.irfft(torch.nn.functional.pad(fft.rfft(x)[..., :4], (1, 2))),
    "powers": lambda x: (fft.rfft(x) ** 3 + fft.rfft(x).square() + (fft.rfft(x) + 9).reciprocal()).real,
    "phases": lambda x: torch.view_as_real(torch.sgn(fft.rfft(x).masked_fill(x[..., :7] > 0, 0))),
    "chosen": lambda x: torch.where(x[..., :7] > 0, fft.rfft(x), torch.full_like(fft.rfft(x), 2 + 1j)).imag,
    "from real numbers": lambda x: (x[..., :7].to(torch.cfloat) * fft.rfft(x).repeat(1, 1, 1)).imag,
    "the middle first": lambda x: fft.ifftshift(fft.fftshift(fft.fft(x)), dim=-1).imag,
    "frames of a spectrum": lambda x: fft.rfft(x).unfold(1, 3, 1).sum(-1)[:, :, torch.arange(6, -1, -1)].imag,
    "halves changed": _halves,
    "the same, normalized": lambda x: _masked(x, normalized=True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_spectrum_is_torchs_own(name: str) -> None:
    torch.manual_seed(0)
    module = Function(CASES[name]).eval()
    x = torch.randn(2, 16, 12)
    model = load_model(module, (x,))
    assert not any(getattr(node.meta.get("val"), "is_complex", bool)() for node in model.program.graph.nodes)
    with torch.no_grad():
        torch.testing.assert_close(model.module()(x)[0], module(x), rtol=1e-4, atol=1e-5)


def test_a_complex_weight_is_two_real_ones() -> None:
    module = Function(lambda x: x).eval()
    module.function = lambda x: fft.irfft(fft.rfft(x) * module.weight)
    x = torch.randn(2, 16, 12)
    model = load_model(module, (x,))
    assert {"weight_real", "weight_imag"} <= set(dict(model.program.named_parameters()))
    with torch.no_grad():
        torch.testing.assert_close(model.module()(x)[0], module(x), rtol=1e-4, atol=1e-5)


def test_the_waves_are_layers_that_a_plan_names() -> None:
    model = load_model(Function(_masked).eval(), (torch.randn(2, 16, 12),))
    assert [(layer.name, layer.kind) for layer in model.inventory.layers] == [
        ("layer", "linear"), ("stft", "conv1d"), ("istft", "conv_transpose1d"),
    ]  # fmt: skip


@pytest.mark.parametrize("function", [lambda x: fft.rfft(x).log().real, lambda x: fft.rfft(x)])
def test_what_is_not_known_is_refused_by_name(function: Any) -> None:
    with pytest.raises(BadInput, match="fft_rfft is complex"):
        load_model(Function(function).eval(), (torch.randn(2, 16, 12),))
