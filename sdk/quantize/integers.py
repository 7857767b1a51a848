"""The arithmetic of 8-bit kernels: integer codes, exact integer sums, and each float step rounded as they round it.

Rounding of another order turns into whole steps of 8-bit activations, layer after layer; with the same order a
reference and an artifact agree to the bit wherever the operators between the layers do. The formulas are XNNPACK's
(`qd8` for ranges found at run time, `qs8` for calibrated ones), which ExecuTorch and LiteRT both execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sdk.lowering.types import Range
from sdk.rounding import Grid

EXACT = 2**24
"""Integers below it are exact in float32, sums of them too."""


def dynamic_codes(value: Any, dims: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Quantize to asymmetric int8 with the ranges over `dims`: (codes less their zero point, zero points, scales).

    All float32, zero points and scales with size 1 along `dims`. The multiplier is 255 / (max - min), the scale its
    reciprocal, and the zero point is nudged from the end of the range that the other is nearer to.
    """
    import torch

    low, high = value.amin(dims, keepdim=True).clamp(max=0), value.amax(dims, keepdim=True).clamp(min=0)
    steps = torch.full_like(low, 255)  # a division by tensors: torch rounds number / tensor twice
    factor = torch.where(low == high, torch.ones_like(low), steps / (high - low))
    down, up = low * factor, high * factor
    zero = torch.where((down - 128) + (up + 127) > 0, -128 - down, 127 - up).clamp(-128, 127).round()
    codes = (value * factor).round()
    return torch.minimum(torch.maximum(codes, -128 - zero), 127 - zero), zero, 1 / factor


@cache
def _shift() -> int:
    """What a kernel of blocks adds to the codes of activations on this processor: AVX-512 VNNI multiplies unsigned ones.

    Their sums, and the zero points that are taken off them, are larger then, and round elsewhere.
    """
    import torch

    return 128 if torch.cpu._is_vnni_supported() else 0


def static_codes(value: Any, found: Range) -> Any:
    """Quantize with a calibrated range: codes less the zero point (float32 integers)."""
    import numpy as np

    factor = float(np.float32(1) / np.float32(found.scale))
    return (value * factor).round().clamp(-128 - found.zero_point, 127 - found.zero_point)


def requantize(sums: Any, factor: Any, found: Range) -> Any:
    """Integer sums times `factor` (float32), rounded to even and cut to int8: codes less the zero point."""
    return (sums.float() * factor).round().clamp(-128 - found.zero_point, 127 - found.zero_point)


def fused(a: Any, b: Any, c: Any) -> Any:
    """a · b + c with one rounding to float32."""
    return (a.double() * b.double() + c.double()).float()


@dataclass(frozen=True, slots=True)
class IntegerKernel:
    """One layer on an 8-bit kernel: called with the input, the bias or None, and the operator's further arguments.

    `dims`: the axes over which a dynamic range is taken. `source` and `result` are the ranges of a static layer's input
    and output; without them the layer is dynamic. `way`, where a kernel differs from XNNPACK's: `unfused` multiplies by
    the weight's scale first and rounds every step, `dequantized` computes in floats what the codes stand for.
    """

    grid: Grid
    operator: Any
    dims: tuple[int, ...]
    source: Range | None = None
    result: Range | None = None
    way: str = ""

    def __call__(self, value: Any, bias: Any = None, *rest: Any, **named: Any) -> Any:
        """Return the layer's output in float32."""
        if self.way == "dequantized":
            return self._dequantized(value, bias, rest, named)
        if self.source is not None:
            return self._static(self.source, value, bias, rest, named)
        if self.grid.scheme.granularity == "group":
            axis = self.dims[0]
            return self._grouped(value.movedim(axis, -1), bias).movedim(-1, axis)
        return self._dynamic(value, bias, rest, named)

    @property
    def _scale(self) -> Any:
        return self.grid.scale.float().expand(self.grid.shape[self.grid.channel_axis], -1)

    def _sums(self, codes: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The operator on integers, exact: in float64 where float32 might not hold the sums."""
        inputs = self.grid.codes.numel() // self.grid.shape[self.grid.channel_axis]
        wide = inputs * 255 * 2 ** (self.grid.scheme.bits - 1) >= EXACT
        codes, weight = (t.double() if wide else t.float() for t in (codes, self.grid.codes))
        return self.operator(codes, weight, None, *rest, **named)

    def _along(self, values: Any, sums: Any) -> Any:
        """Per-channel values in the shape that broadcasts over `sums` (a grouped transposed convolution repeats them)."""
        if self.dims == (-1,):
            return values
        repeated = values.repeat(sums.shape[1] // len(values))
        return repeated.reshape(-1, *[1] * (sums.dim() - 2))

    def _dequantized(self, value: Any, bias: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.source is None:
            codes, _, scale = dynamic_codes(value, self.dims)
            return self.operator(codes * scale, self.grid.dequantize(), bias, *rest, **named)
        given = static_codes(value, self.source) * self.source.scale
        made = self.operator(given, self.grid.dequantize(), bias, *rest, **named)
        return made if self.result is None else static_codes(made, self.result) * self.result.scale

    def _dynamic(self, value: Any, bias: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        import torch

        codes, _, scale = dynamic_codes(value, self.dims)
        sums = self._sums(codes, rest, named).float()
        weights = self._along(self._scale[:, 0], sums)
        offset = torch.zeros(1) if bias is None else self._along(bias, sums)
        if self.way != "unfused":
            return fused(sums * scale, weights, offset)
        spread = value.amax(self.dims, keepdim=True).clamp(min=0) - value.amin(self.dims, keepdim=True).clamp(max=0)
        return sums * weights * (spread / torch.full_like(spread, 255)) + offset

    def _static(self, source: Range, value: Any, bias: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        import torch

        sums = self._sums(static_codes(value, source), rest, named).double()
        step = torch.tensor(source.scale, dtype=torch.float32) * self._scale[:, 0]
        if bias is not None:
            sums = sums + self._along((bias.double() / step).round(), sums)
        if self.result is None:
            return sums.float() * self._along(step, sums)
        factor = step / torch.tensor(self.result.scale, dtype=torch.float32)
        return requantize(sums, self._along(factor, sums), self.result) * self.result.scale

    def _grouped(self, value: Any, bias: Any) -> Any:
        """Sums over groups of the last axis, each times its scale, one fused step after another.

        So do the kernels for AVX-512 VNNI and Arm; that for AVX2 keeps four sums and adds them up at the end.
        """
        import torch

        codes, zero, scale = dynamic_codes(value, (-1,))
        scales = self._scale
        rows = self.grid.codes.float().reshape(len(scales), scales.shape[1], -1)
        zero = zero + _shift()
        parts = (codes + zero).reshape(*value.shape[:-1], scales.shape[1], -1)
        made = torch.zeros(len(scales))
        for group in range(scales.shape[1]):
            made = made - rows[:, group].sum(1) * scales[:, group]
        made = zero * made
        for group in range(scales.shape[1]):
            made = fused(parts[..., group, :] @ rows[:, group].T, scales[:, group], made)
        return made * scale if bias is None else made * scale + bias


def as_module(kernel: Callable[..., Any]) -> Any:
    """Return a torch module that calls `kernel`, for a place in a graph."""
    import torch

    class Kernel(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *args: Any, **named: Any) -> Any:
            return kernel(*args, **named)

    return Kernel()
