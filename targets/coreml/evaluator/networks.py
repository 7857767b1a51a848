"""MIL's network operations: convolutions, pools, normalisations, matrix products, attention, resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from targets.coreml.evaluator.elementwise import number
from targets.coreml.evaluator.shapes import ints


def _paddings(kind: str, pad: Any, size: Any, kernel: list[int], strides: list[int], dilations: list[int]) -> list[list[int]]:
    """Return [before, after] per spatial axis for MIL's padding types."""
    if kind == "custom" and pad is not None:
        flat = ints(pad)
        return [flat[i:i + 2] for i in range(0, len(flat), 2)]
    if kind not in ("same", "same_lower"):
        return [[0, 0] for _ in kernel]
    pairs = []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        less = total // 2
        pairs.append([total - less, less] if kind == "same_lower" else [less, total - less])
    return pairs


def _padded(x: Any, pairs: list[list[int]], value: float = 0.0) -> Any:
    import torch

    flat = [p for pair in reversed(pairs) for p in pair]
    return torch.nn.functional.pad(x, flat, value=value) if any(flat) else x


def _conv(
    x: Any, weight: Any, strides: Any = None, pad_type: str = "valid", pad: Any = None, dilations: Any = None,
    groups: Any = None, bias: Any = None,
) -> Any:
    import torch

    rank = x.dim() - 2
    step, spread = ([1] * rank if v is None else ints(v) for v in (strides, dilations))
    pairs = _paddings(pad_type, pad, x.shape[2:], list(weight.shape[2:]), step, spread)
    function = (torch.conv1d, torch.conv2d, torch.conv3d)[rank - 1]
    return function(_padded(x, pairs), weight, bias, step, 0, spread, int(number(groups, 1)))


def _conv_transpose(
    x: Any, weight: Any, bias: Any = None, pad: Any = None, output_shape: Any = None, pad_type: str = "valid",
    strides: Any = None, dilations: Any = None, groups: Any = None,
) -> Any:
    import torch

    rank = x.dim() - 2
    step, spread = ([1] * rank if v is None else ints(v) for v in (strides, dilations))
    function = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)[rank - 1]
    full = function(x, weight, None, step, 0, 0, int(number(groups, 1)), spread)
    kernel = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], spread, strict=True)]
    if pad_type.startswith("same"):
        pairs = [[max(k - s, 0) // 2, max(k - s, 0) - max(k - s, 0) // 2] for k, s in zip(kernel, step, strict=True)]
    else:
        pairs = _paddings(pad_type, pad, None, kernel, step, spread)
    for axis, (before, after) in enumerate(pairs):
        size = full.shape[axis + 2] - before - after
        wanted = size if output_shape is None else ints(output_shape)[axis + 2]
        lacking = max(0, before + wanted - full.shape[axis + 2])
        if lacking:
            full = _padded(full, [[0, 0]] * axis + [[0, lacking]] + [[0, 0]] * (rank - axis - 1))
        full = full.narrow(axis + 2, before, wanted)
    return full if bias is None else full + bias.reshape(-1, *(1,) * rank)


def _pool(kind: str) -> Callable[..., Any]:
    def run(
        x: Any, kernel_sizes: Any, strides: Any = None, pad_type: str = "valid", pad: Any = None, ceil_mode: Any = None,
        exclude_padding_from_average: Any = None,
    ) -> Any:
        kernel = ints(kernel_sizes)
        step = [1] * len(kernel) if strides is None else ints(strides)
        pairs = _paddings(pad_type, pad, x.shape[2:], kernel, step, [1] * len(kernel))
        if number(ceil_mode, False):
            pairs = [[b, a + (-(n + a + b - k)) % s] if (-(n + a + b - k)) % s + a < k else [b, a]
                     for (b, a), n, k, s in zip(pairs, x.shape[2:], kernel, step, strict=True)]
        return _window(kind, x, kernel, step, pairs, bool(number(exclude_padding_from_average, False)))

    return run


def _window(kind: str, x: Any, kernel: list[int], step: list[int], pairs: list[list[int]], exclude: bool) -> Any:
    import torch

    rank = len(kernel)
    most = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)[rank - 1]
    f = torch.nn.functional
    mean = (f.avg_pool1d, f.avg_pool2d, f.avg_pool3d)[rank - 1]
    if kind == "max":
        return most(_padded(x, pairs, float("-inf")), kernel, step)
    if kind == "l2":
        return (mean(_padded(x.square(), pairs), kernel, step) * float(torch.tensor(kernel).prod())).sqrt()
    average = mean(_padded(x, pairs), kernel, step)
    return average / mean(_padded(torch.ones_like(x[:1, :1]), pairs), kernel, step) if exclude else average


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    import torch

    return torch.nn.functional.linear(x, weight, bias)


def _matmul(x: Any, y: Any, transpose_x: Any = None, transpose_y: Any = None) -> Any:
    x = x.mT if number(transpose_x, False) else x
    return x @ (y.mT if number(transpose_y, False) else y)


def _einsum(values: Any, equation: str) -> Any:
    import torch

    return torch.einsum(equation, *values)


def _shaped(vector: Any, x: Any) -> Any:
    return None if vector is None else vector.reshape(-1, *(1,) * (x.dim() - 2))


def _affine(x: Any, like: Any, gamma: Any, beta: Any) -> Any:
    x = x if gamma is None else x * _shaped(gamma, like)
    return x if beta is None else x + _shaped(beta, like)


def _batch_norm(x: Any, mean: Any, variance: Any, gamma: Any = None, beta: Any = None, epsilon: Any = None) -> Any:
    return _affine((x - _shaped(mean, x)) / (_shaped(variance, x) + number(epsilon, 1e-5)).sqrt(), x, gamma, beta)


def _instance_norm(x: Any, gamma: Any = None, beta: Any = None, epsilon: Any = None) -> Any:
    axes = list(range(2, x.dim()))
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
    return _affine((x - mean) / (variance + number(epsilon, 1e-5)).sqrt(), x, gamma, beta)


def _layer_norm(x: Any, axes: Any = None, gamma: Any = None, beta: Any = None, epsilon: Any = None) -> Any:
    chosen = sorted(a % x.dim() for a in (range(x.dim()) if axes is None else ints(axes)))
    mean, variance = x.mean(chosen, keepdim=True), x.var(chosen, unbiased=False, keepdim=True)
    out = (x - mean) / (variance + number(epsilon, 1e-5)).sqrt()
    shape = [x.shape[i] if i in chosen else 1 for i in range(x.dim())]
    out = out if gamma is None else out * gamma.reshape(shape)
    return out if beta is None else out + beta.reshape(shape)


def _l2_norm(x: Any, epsilon: Any = None) -> Any:
    return x / (x.square().sum(list(range(x.dim() - 3, x.dim())), keepdim=True) + number(epsilon, 1e-6)).sqrt()


def _local_response_norm(x: Any, size: Any, alpha: Any = None, beta: Any = None, k: Any = None) -> Any:
    import torch

    return torch.nn.functional.local_response_norm(
        x, int(size), number(alpha, 1e-4), number(beta, 0.75), number(k, 1.0)
    )


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None) -> Any:
    import torch

    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask)


def _upsample_bilinear(
    x: Any, scale_factor_height: Any = None, scale_factor_width: Any = None, align_corners: Any = None,
    half_pixel_centers: Any = None,
) -> Any:
    corners = bool(number(align_corners, True))
    half = not corners if half_pixel_centers is None else bool(number(half_pixel_centers))
    mode = "STRICT_ALIGN_CORNERS" if corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    height, width = _scaled(x, scale_factor_height, scale_factor_width)
    return _resize_bilinear(x, height, width, mode)


def _scaled(x: Any, height: Any, width: Any) -> tuple[int, int]:
    return int(x.shape[-2] * number(height, 1)), int(x.shape[-1] * number(width, 1))


def _resize_bilinear(
    x: Any, target_size_height: Any = None, target_size_width: Any = None, sampling_mode: str = "DEFAULT"
) -> Any:
    import torch

    size = [int(number(target_size_height, 1)), int(number(target_size_width, 1))]
    if sampling_mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        return torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=True)
    if sampling_mode == "UNALIGN_CORNERS":
        return torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    for axis, (old, new) in enumerate(zip(x.shape[-2:], size, strict=True)):
        place = torch.arange(new) * (old / new if sampling_mode == "DEFAULT" else (old - 1) / max(new - 1, 1))
        low = place.floor().long().clamp(0, old - 1)
        part = (place - low).reshape(-1, *(1,) * (1 - axis))
        x = torch.lerp(x.index_select(axis - 2, low), x.index_select(axis - 2, (low + 1).clamp(max=old - 1)), part)
    return x


def _upsample_nearest(x: Any, scale_factor_height: Any = None, scale_factor_width: Any = None) -> Any:
    return _resize_nearest(x, *_scaled(x, scale_factor_height, scale_factor_width))


def _resize_nearest(x: Any, target_size_height: Any, target_size_width: Any) -> Any:
    import torch

    return torch.nn.functional.interpolate(x, [int(target_size_height), int(target_size_width)], mode="nearest")


def _resample(
    x: Any, coordinates: Any, sampling_mode: str = "bilinear", padding_mode: str = "constant", padding_value: Any = None,
    coordinates_mode: str = "normalized_minus_one_to_one", align_corners: Any = None,
) -> Any:
    import torch

    if coordinates_mode != "normalized_minus_one_to_one" or number(padding_value, 0.0) != 0.0:
        raise NotImplementedError(f"resample with {coordinates_mode} coordinates or a padding value")
    corners = bool(number(align_corners, False))
    if padding_mode == ("symmetric" if corners else "reflection"):
        raise NotImplementedError(f"resample with {padding_mode} padding and align_corners={corners}")
    padding = {"constant": "zeros", "border": "border"}.get(padding_mode, "reflection")
    return torch.nn.functional.grid_sample(x, coordinates, sampling_mode, padding, corners)


def table() -> dict[str, Callable[..., Any]]:
    """Return the operations by MIL's name."""
    from targets.coreml.evaluator.recurrences import gru, lstm, rnn

    return {
        "conv": _conv, "conv_transpose": _conv_transpose, "max_pool": _pool("max"), "avg_pool": _pool("avg"),
        "l2_pool": _pool("l2"), "linear": _linear, "matmul": _matmul, "einsum": _einsum, "batch_norm": _batch_norm,
        "instance_norm": _instance_norm, "layer_norm": _layer_norm, "l2_norm": _l2_norm,
        "local_response_norm": _local_response_norm, "scaled_dot_product_attention": _attention,
        "upsample_bilinear": _upsample_bilinear, "resize_bilinear": _resize_bilinear,
        "upsample_nearest_neighbor": _upsample_nearest, "resize_nearest_neighbor": _resize_nearest, "lstm": lstm, "gru": gru,
        "rnn": rnn, "resample": _resample,
    }
