"""The null runtime's 8-bit activation arithmetic, written apart from the reference that it is compared with."""

from __future__ import annotations

from typing import Any


def dynamic(value: Any, per_token: bool) -> Any:
    """Round to 8 bits with the range of each row, or of each sample; the same shape comes back."""
    import torch

    dims = (-1,) if per_token else tuple(range(1, value.dim()))
    low = torch.amin(value, dims, keepdim=True).clamp(max=0.0)
    high = torch.amax(value, dims, keepdim=True).clamp(min=0.0)
    scale = torch.clamp((high - low) / 255.0, min=torch.finfo(torch.float32).eps)
    zero = torch.clamp(torch.round(-128.0 - low / scale), -128, 127)
    return (torch.clamp(torch.round(value / scale) + zero, -128, 127) - zero) * scale


def static(value: Any, scale: float, zero_point: int) -> Any:
    """Round to 8 bits with one calibrated range."""
    import torch

    codes = torch.clamp(torch.round(value / scale) + zero_point, -128, 127)
    return (codes - zero_point) * scale
