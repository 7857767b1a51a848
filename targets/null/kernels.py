"""The null runtime's 8-bit activation arithmetic, written apart from the reference that it is compared with."""

from __future__ import annotations

from typing import Any


def dynamic(value: Any, per_token: bool) -> Any:
    """Round to 8 bits with the range of each row, or of each sample; the same shape comes back."""
    import torch

    dims = (-1,) if per_token else tuple(range(1, value.dim()))
    low = torch.amin(value, dims, keepdim=True).clamp(max=0.0)
    high = torch.amax(value, dims, keepdim=True).clamp(min=0.0)
    spread = high - low
    multiplier = torch.where(spread > 0, torch.full_like(spread, 255.0) / spread, torch.ones_like(spread))
    below, above = -128.0 - low * multiplier, 127.0 - high * multiplier
    zero = torch.round(torch.clamp(torch.where(below + above < 0, below, above), -128, 127))
    return (torch.clamp(torch.round(value * multiplier) + zero, -128, 127) - zero) * torch.reciprocal(multiplier)


def static(value: Any, scale: float, zero_point: int) -> Any:
    """Round to 8 bits with one calibrated range."""
    import torch

    multiplier = float(torch.reciprocal(torch.tensor(scale, dtype=torch.float32)))
    codes = torch.clamp(torch.round(value * multiplier) + zero_point, -128, 127)
    return (codes - zero_point) * scale
