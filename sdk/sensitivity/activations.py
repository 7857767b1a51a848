"""The error that 8-bit activations add to a layer's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdk.lowering.types import Range
from sdk.models import Layer


def activation_error(value: Any, mode: str, layer: Layer, ranges: Mapping[str, Range]) -> Any:
    """Difference that quantizing the layer's input makes: `dynamic` (per token; per sample for convolutions) or `static`."""
    if mode == "dynamic":
        return quantize_dynamic(value, layer.kind == "linear").sub_(value)
    return static_error(value, layer.input, ranges)


def static_error(value: Any, tensor: str, ranges: Mapping[str, Range]) -> Any:
    """Difference that quantizing `value` makes with the range of the `tensor` so named; none where that has no range."""
    import torch

    found = ranges.get(tensor)
    return torch.zeros_like(value) if found is None else quantize_static(value, found).sub_(value)


def quantize_dynamic(value: Any, per_token: bool) -> Any:
    """Asymmetric 8-bit quantize-dequantize with the range of each row (token) or of each sample."""
    import torch

    flat = value.reshape(-1, value.shape[-1]) if per_token else value.reshape(value.shape[0], -1)
    low = flat.amin(1, keepdim=True).clamp(max=0)
    high = flat.amax(1, keepdim=True).clamp(min=0)
    scale = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).eps)
    zero = torch.round(-128 - low / scale).clamp(-128, 127)
    codes = (flat / scale).round_().add_(zero).clamp_(-128, 127)
    return codes.sub_(zero).mul_(scale).reshape(value.shape)


def quantize_static(value: Any, found: Range) -> Any:
    """Quantize-dequantize with a calibrated range."""
    return quantize_affine(value, found.scale, found.zero_point)


def quantize_affine(value: Any, scale: float, zero_point: int) -> Any:
    """Quantize-dequantize to asymmetric int8 with one scale per tensor."""
    codes = (value / scale).round_().add_(zero_point).clamp_(-128, 127)
    return codes.sub_(zero_point).mul_(scale)
