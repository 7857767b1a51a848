"""Probe networks of operators without weights: what lies between the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.probing.networks import Made, Network

SIZES = ((1, 64, 48, 48), (1, 128, 14, 14), (1, 16, 8, 8))
"""Batch, channels, height, width: large, middle, and so small that only the call counts."""
COUNT = 4
"""Operators in a chain."""
LARGE = (1, 32, 112, 112)
"""What a camera's picture is after its first layer."""


def operator_networks() -> list[Network]:
    """Return the chains of every operator in every size, and those where layers in 8 bits meet floats."""
    found, steps = [], _steps()
    for name, (step, shape) in steps.items():
        for place, size in enumerate(SIZES):
            given = shape(size)
            found.append(Network(f"{name} {given}", lambda step=step, given=given: _chain(step, given), layers=False))  # type: ignore[misc]
            if place == 1 and name in SINGLE:
                break
    for name in MANY:
        found.append(Network(f"many {name}", lambda name=name: _chain(steps[name][0], ROW, LONG), layers=False))  # type: ignore[misc]
    for sizes in FEW:
        found.append(Network(f"few {sizes}", lambda sizes=sizes: _few(*sizes), layers=False))  # type: ignore[misc]
    for size in (LARGE, *SIZES):
        found.append(Network(f"passed {size}", lambda size=size: _passed(_rows(size)), layers=False))  # type: ignore[misc]
    found += [Network(f"border {size}", lambda size=size: _border(size), border=True) for size in SIZES]  # type: ignore[misc]
    return found


MANY = ("add", "mul", "silu", "softmax", "pow", "cat")
"""Operators that a language model runs by the hundred on one token: a long chain tells a call from what the inference costs."""
FEW = ((3, 3, 512, 64), (2, 4, 2048, 64), (8, 1, 256, 128))
"""Heads of keys, rows of each, keys, channels: attention of one token, which mostly reads."""
ROW = (1, 1, 640)
"""Elements of a token."""
LONG = 48
"""Operators in a long chain."""
SINGLE = ("upsample",)
"""Operators of which two sizes are enough."""


def _chain(step: Callable[..., Any], shape: tuple[int, ...], count: int = COUNT) -> Made:
    import torch

    class Chain(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(shape[-1]))
            self.shift = torch.nn.Parameter(torch.zeros(shape[-1]))

        def forward(self, x: Any, y: Any) -> Any:
            for _ in range(count):
                x, y = step(x, y, self)
            return x

    return Chain(), (torch.rand(shape), torch.rand(shape) + 0.5)


def _passed(shape: tuple[int, ...]) -> Made:
    """One operator, so that what the caller hands over and takes back is most of the time."""
    import torch

    return torch.nn.Sequential(torch.nn.ReLU()), (torch.rand(shape),)


def _few(heads: int, rows: int, keys: int, size: int) -> Made:
    """Products of a few rows with keys and values of their own, as a language model has them in every layer."""
    import torch

    class Chain(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def forward(self, x: Any, *held: Any) -> Any:
            for each in held:
                x = x @ each.transpose(-1, -2) @ each
            return x

    return Chain(), (torch.rand(1, heads, rows, size), *(torch.rand(1, heads, keys, size) / keys for _ in range(COUNT)))


def _border(size: tuple[int, ...]) -> Made:
    """Layers between other operators: in 8 bits each reads and writes floats through a conversion."""
    import torch

    nn, channels = torch.nn, size[1]
    body = []
    for _ in range(3):
        body += [nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Sigmoid()]
    return nn.Sequential(*body), (torch.rand(size),)


def _steps() -> dict[str, tuple[Callable[..., Any], Callable[[tuple[int, ...]], tuple[int, ...]]]]:
    """Operator → (one step from two tensors to two, the shape it takes)."""
    import torch

    f, image, rows = torch.nn.functional, _same, _rows
    found: dict[str, Any] = {
        "add": (_swapped(torch.add), image), "mul": (_swapped(torch.mul), image), "div": (_swapped(torch.div), image),
        "relu": (lambda x, y, m: (y, torch.relu(x + y)), image),
        "clamp": (lambda x, y, m: (y, torch.clamp(x + y, 0.0, 0.9)), image),
        "softmax": (_one(lambda x: torch.softmax(x, -1)), rows),
        "layer_norm": (lambda x, y, m: (f.layer_norm(x, x.shape[-1:], m.scale, m.shift), y), rows),
        "mean": (lambda x, y, m: (x - x.mean(-1, keepdim=True), y), rows),
        "pow": (lambda x, y, m: (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5), y), rows),
        "adaptive_avg_pool2d": (lambda x, y, m: (x * f.adaptive_avg_pool2d(x, 1), y), image),
        "max_pool2d": (_one(lambda x: f.max_pool2d(x, 3, 1, 1)), image),
        "avg_pool2d": (_one(lambda x: f.avg_pool2d(x, 3, 1, 1)), image),
        "cat": (lambda x, y, m: (y, torch.cat([x, y], 1)[:, x.shape[1] // 2 : x.shape[1] // 2 + x.shape[1]] + y), image),
        "transpose": (lambda x, y, m: (y, (x.transpose(1, 2).reshape(x.shape)) + y), rows),
        "permute": (lambda x, y, m: (y, (x.permute(0, 2, 3, 1).reshape(x.shape)) + y), image),
        "matmul": (lambda x, y, m: (x @ y.transpose(-1, -2) @ y, y), _heads),
        "scaled_dot_product_attention": (lambda x, y, m: (f.scaled_dot_product_attention(x, y, y), y), _heads),
        "upsample": (_one(lambda x: f.avg_pool2d(f.interpolate(x, scale_factor=2.0), 2)), image),
    }  # fmt: skip
    for name, run in (
        ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("gelu", f.gelu), ("silu", f.silu), ("hardswish", f.hardswish),
        ("hardsigmoid", f.hardsigmoid), ("exp", lambda x: torch.exp(-x)), ("leaky_relu", f.leaky_relu),
    ):  # fmt: skip
        found[name] = (_one(run), image)
    return found


def _one(run: Callable[[Any], Any]) -> Callable[..., Any]:
    """A step that replaces the first tensor."""
    return lambda x, y, m: (run(x), y)


def _swapped(run: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A step from both tensors to one, so that the next has another pair."""
    return lambda x, y, m: (y, run(x, y))


def _same(size: tuple[int, ...]) -> tuple[int, ...]:
    return size


def _rows(size: tuple[int, ...]) -> tuple[int, ...]:
    """As many elements, as positions and channels."""
    return (1, size[2] * size[3], size[1])


def _heads(size: tuple[int, ...]) -> tuple[int, ...]:
    """Heads, positions and channels of an attention."""
    return (1, max(1, size[1] // 32), size[2] * 4, 32)
