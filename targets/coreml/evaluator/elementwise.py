"""MIL's elementwise operations: arithmetic, comparison, activation functions, casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TYPES = {
    "fp16": "float32", "fp32": "float32", "fp64": "float32", "int32": "int32", "int64": "int64", "int16": "int16",
    "uint16": "int32", "int8": "int8", "uint8": "uint8", "bool": "bool",
}
"""What a MIL data type is computed as here."""


def number(value: Any, default: float = 0.0) -> Any:
    """Return a scalar parameter as a Python number."""
    return default if value is None else value.item() if hasattr(value, "item") else value


def cast(x: Any, dtype: str) -> Any:
    """Convert to a MIL data type, computed as `TYPES` says."""
    import torch

    return x.to(getattr(torch, TYPES[dtype]))


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x, **_: function(x)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda x, y: function(x, y)


def _logical(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda x, y: function(x.bool(), y.bool())


def _floor_div(x: Any, y: Any) -> Any:
    import torch

    return torch.floor_divide(x, y)


def _real_div(x: Any, y: Any) -> Any:
    import torch

    if x.is_floating_point() or y.is_floating_point():
        return x / y
    return torch.div(x, y, rounding_mode="trunc")


def _gelu(x: Any, mode: str = "EXACT") -> Any:
    import torch

    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return torch.nn.functional.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def _prelu(x: Any, alpha: Any) -> Any:
    import torch

    return torch.where(x >= 0, x, x * alpha.reshape(-1, *(1,) * (x.dim() - 2)))


def _softplus_parametric(x: Any, alpha: Any, beta: Any) -> Any:
    import torch

    shape = (-1, *(1,) * (x.dim() - 2))
    return alpha.reshape(shape) * torch.log1p(torch.exp(beta.reshape(shape) * x))


def _where(cond: Any, a: Any, b: Any) -> Any:
    import torch

    return torch.where(cond.bool(), a, b)


def _clip(x: Any, alpha: Any, beta: Any) -> Any:
    return x.clamp(number(alpha), number(beta))


def _quantize(input: Any, scale: Any, output_dtype: str, zero_point: Any = None, axis: Any = None) -> Any:
    low, high = (-128, 127) if output_dtype == "int8" else (0, 255)
    spread = _along(input, axis)
    zero = 0 if zero_point is None else spread(zero_point.float())
    return ((input / spread(scale)).round() + zero).clamp(low, high).to(cast(input[:0], output_dtype).dtype)


def _dequantize(input: Any, scale: Any, zero_point: Any = None, axis: Any = None) -> Any:
    spread = _along(input, axis)
    zero = 0 if zero_point is None else spread(zero_point.float())
    return (input.float() - zero) * spread(scale)


def _along(x: Any, axis: Any) -> Callable[[Any], Any]:
    shape = [1] * x.dim()
    if axis is not None:
        shape[int(axis)] = -1
    return lambda p: p.reshape(shape) if p.dim() == 1 else p


def table() -> dict[str, Callable[..., Any]]:
    """Return the operations by MIL's name."""
    import torch
    from torch.nn import functional as f

    unary = {name: _unary(getattr(torch, name)) for name in (
        "abs", "acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "exp2", "floor", "round", "sign", "sin",
        "sinh", "sqrt", "square", "tan", "tanh", "sigmoid", "logical_not",
    )}
    binary = {name: _binary(function) for name, function in {
        "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": _real_div, "floor_div": _floor_div,
        "mod": torch.remainder, "pow": torch.pow, "maximum": torch.maximum, "minimum": torch.minimum, "equal": torch.eq,
        "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le, "greater": torch.gt, "greater_equal": torch.ge,
    }.items()}
    logical = {f"logical_{n}": _logical(getattr(torch, f"logical_{n}")) for n in ("and", "or", "xor")}
    return {**unary, **binary, **logical, **_functions(torch, f)}


def _functions(torch: Any, f: Any) -> dict[str, Callable[..., Any]]:
    return {
        "relu": lambda x: f.relu(x),
        "relu6": lambda x: f.relu6(x),
        "leaky_relu": lambda x, alpha=None: f.leaky_relu(x, number(alpha, 0.01)),
        "prelu": _prelu,
        "elu": lambda x, alpha=None: f.elu(x, number(alpha, 1.0)),
        "gelu": _gelu,
        "silu": lambda x: f.silu(x),
        "softplus": lambda x: f.softplus(x),
        "softplus_parametric": _softplus_parametric,
        "softsign": lambda x: f.softsign(x),
        "sigmoid_hard": lambda x, alpha=None, beta=None: (number(alpha, 0.2) * x + number(beta, 0.5)).clamp(0, 1),
        "scaled_tanh": lambda x, alpha=None, beta=None: number(alpha, 1.0) * torch.tanh(number(beta, 1.0) * x),
        "thresholded_relu": lambda x, alpha=None: torch.where(x >= number(alpha, 1.0), x, torch.zeros_like(x)),
        "clamped_relu": lambda x, alpha, beta: torch.where(x >= 0, x, number(alpha) * x).clamp(max=number(beta)),
        "linear_activation": lambda x, alpha=None, beta=None: number(alpha, 1.0) * x + number(beta, 0.0),
        "softmax": lambda x, axis=None: torch.softmax(x, int(number(axis, -1))),
        "clip": _clip,
        "threshold": lambda x, alpha=None: x.clamp(min=number(alpha, 0.0)),
        "inverse": lambda x, epsilon=None: 1.0 / (x + number(epsilon, 1e-4)),
        "log": lambda x, epsilon=None: torch.log(x + number(epsilon, 1e-45)),
        "rsqrt": lambda x, epsilon=None: torch.rsqrt(x + number(epsilon, 1e-12)),
        "cast": cast,
        "identity": lambda x: x,
        "select": _where,
        "quantize": _quantize,
        "dequantize": _dequantize,
    }
