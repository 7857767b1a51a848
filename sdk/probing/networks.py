"""The networks that a probe times: small chains of one kind of layer or operator each, in several shapes.

Their shapes are spread over what phones run, so that the parts of a kernel's time can be told apart: arithmetic, what is read
and written, weights, and what each call costs. No published model is among them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Made = tuple[Any, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Network:
    """A chain: its `name`, what `make` returns (module, example inputs), whether its layers are tried in every scheme.

    `border`: in those alone that compute with static 8-bit activations, between operators that do not. `among_floats`: its
    pointwise layers stay in floats. `parted`: only schemes count that end the runtime's accelerated part.
    """

    name: str
    make: Callable[[], Made]
    layers: bool = True
    border: bool = False
    among_floats: bool = False
    parted: bool = False


def all_networks() -> tuple[Network, ...]:
    """Return every network of a probe, layers first."""
    from sdk.probing.operators import operator_networks

    return (*_layers(), *operator_networks())


POINTWISE = (
    (16, 96, 56, 4), (24, 144, 28, 6), (64, 384, 14, 6), (128, 128, 28, 3), (320, 1280, 7, 4), (32, 32, 112, 2),
    (192, 192, 14, 6), (512, 512, 4, 6), (40, 240, 1, 8),
)  # fmt: skip
"""Channels in, channels out, side of the image, layers."""
CONVOLUTIONS = (
    (3, 32, 112, 1, 2, 2), (16, 16, 56, 4, 3, 1), (32, 64, 28, 4, 3, 1), (64, 64, 28, 3, 3, 1), (128, 128, 14, 4, 3, 1),
    (256, 256, 7, 4, 3, 1), (24, 48, 40, 4, 5, 1), (3, 64, 64, 2, 7, 1), (96, 96, 6, 6, 3, 1),
)  # fmt: skip
"""Channels in and out, side, layers, kernel (2: a patch of its own stride), stride."""
DEPTHWISE = (
    (32, 112, 2, 3), (96, 56, 3, 3), (144, 28, 6, 5), (240, 14, 8, 5), (672, 7, 8, 3), (64, 28, 8, 3), (1152, 7, 6, 5),
    (64, 28, 4, 7), (192, 14, 6, 7), (512, 7, 4, 7),
)  # fmt: skip
"""Channels, side, layers, kernel."""
LINEAR = (
    (384, 1536, 1, 4), (384, 1536, 32, 4), (384, 384, 128, 4), (256, 1024, 64, 4), (1024, 1024, 1, 3), (64, 64, 16, 20),
    (768, 3072, 128, 1), (192, 768, 197, 3), (128, 512, 8, 8), (64, 1000, 1, 4), (256, 256, 1, 8), (128, 640, 1, 6),
    (512, 768, 3, 3), (96, 384, 10, 8),
)  # fmt: skip
"""Inputs, outputs, rows, layers."""

STRIDED = (
    (3, 48, 96, 1, 3, False), (24, 48, 56, 3, 3, False), (64, 96, 28, 2, 3, False), (160, 128, 14, 1, 5, False),
    (3, 24, 128, 1, 7, False), (40, 40, 112, 2, 3, True), (128, 128, 56, 3, 3, True), (200, 200, 28, 2, 5, True),
    (400, 400, 14, 1, 3, True),
)  # fmt: skip
"""Channels in and out, side, layers of stride 2 that pad both sides alike, kernel, whether they are depthwise."""
ALTERNATING = ((32, 112, 2, 3), (96, 56, 3, 3), (144, 28, 6, 5), (240, 14, 8, 5), (512, 14, 4, 3), (672, 7, 8, 3), (64, 14, 8, 3))
"""Channels, side, pairs of a pointwise and a depthwise layer, kernel."""
STREAMED = ((512, 2), (1024, 2), (1024, 5), (1536, 4), (2048, 4), (2560, 8))
"""Width and layers of chains of one row each, which read 2, 8, 21, 38, 67 and 210 MB of weights."""


def _layers() -> list[Network]:
    found = [Network(f"pointwise {shape}", lambda shape=shape: _pointwise(*shape)) for shape in POINTWISE]  # type: ignore[misc]
    found += [Network(f"conv2d {shape}", lambda shape=shape: _convolutions(*shape)) for shape in CONVOLUTIONS]  # type: ignore[misc]
    found += [Network(f"depthwise {shape}", lambda shape=shape: _depthwise(*shape)) for shape in DEPTHWISE]  # type: ignore[misc]
    found += [Network(f"{name} {pairs}", lambda pairs=pairs: _alternating(*pairs), among_floats=floats, parted=True)  # type: ignore[misc]
              for name, floats in (("alternating", True), ("behind", False)) for pairs in ALTERNATING]  # fmt: skip
    found += [Network(f"linear {shape}", lambda shape=shape: _linear(*shape)) for shape in LINEAR]  # type: ignore[misc]
    for shape in ((40, 128, 200, 3, 5), (128, 256, 100, 3, 3), (256, 256, 25, 3, 3), (16, 32, 800, 4, 9)):
        found.append(Network(f"conv1d {shape}", lambda shape=shape: _signals(*shape)))  # type: ignore[misc]
    found += [Network(f"strided {shape}", lambda shape=shape: _strided(*shape)) for shape in STRIDED]  # type: ignore[misc]
    for shape in ((64, 256, 200, 3, 1), (256, 512, 50, 3, 1), (32, 64, 800, 4, 1)):
        found.append(Network(f"pointwise1d {shape}", lambda shape=shape: _signals(*shape)))  # type: ignore[misc]
    for channels, side, count, kernel in ((64, 14, 2, 2), (128, 7, 2, 4), (16, 28, 2, 3), (256, 8, 1, 2)):
        found.append(Network(f"conv_transpose2d {channels, side, count, kernel}",
                             lambda c=channels, s=side, n=count, k=kernel: _transposed(c, s, n, k)))  # type: ignore[misc]  # fmt: skip
    for channels, length, count in ((64, 100, 2), (128, 50, 2), (32, 400, 2)):
        found.append(Network(f"conv_transpose1d {channels, length, count}",
                             lambda c=channels, s=length, n=count: _transposed1d(c, s, n)))  # type: ignore[misc]  # fmt: skip
    for rows, width, tokens in ((1000, 64, 8), (4000, 256, 128), (2000, 512, 256)):
        found.append(Network(f"embedding {rows, width, tokens}", lambda r=rows, w=width, t=tokens: _embedding(r, w, t)))  # type: ignore[misc]
    for kind in ("LSTM", "GRU"):
        for width, steps in ((32, 6), (32, 60), (128, 6), (128, 60), (256, 6), (256, 60)):
            found.append(Network(f"{kind.lower()} {width, steps}",
                                 lambda k=kind, w=width, s=steps: _recurrent(k, w, s)))  # type: ignore[misc]  # fmt: skip
    for width, count in STREAMED:
        found.append(Network(f"stream {width, count}", lambda w=width, n=count: _linear(w, w, 1, n), layers=False))  # type: ignore[misc]
    return found


def _pointwise(one: int, two: int, side: int, count: int) -> Made:
    return _convolutions(one, two, side, count, 1, 1)


def _convolutions(one: int, two: int, side: int, count: int, kernel: int, stride: int) -> Made:
    import torch

    sizes = [(one, two) if place % 2 == 0 else (two, one) for place in range(count)]
    layers = [torch.nn.Conv2d(a, b, kernel, stride, 0 if kernel == stride else kernel // 2) for a, b in sizes]
    return torch.nn.Sequential(*layers), (torch.rand(1, one, side, side),)


def _depthwise(channels: int, side: int, count: int, kernel: int) -> Made:
    import torch

    layers = [torch.nn.Conv2d(channels, channels, kernel, 1, kernel // 2, groups=channels) for _ in range(count)]
    return torch.nn.Sequential(*layers), (torch.rand(1, channels, side, side),)


def _strided(one: int, two: int, side: int, count: int, kernel: int, depthwise: bool) -> Made:
    import torch

    sizes = [one, *[two] * count]
    layers = [
        torch.nn.Conv2d(a, b, kernel, 2, kernel // 2, groups=b if depthwise else 1) for a, b in itertools.pairwise(sizes)
    ]
    return torch.nn.Sequential(*layers), (torch.rand(1, one, side, side),)


def _alternating(channels: int, side: int, count: int, kernel: int) -> Made:
    """Mobile networks in small: every depthwise layer lies between two that the accelerated part takes."""
    import torch

    nn, body = torch.nn, []
    for _ in range(count):
        body += [nn.Conv2d(channels, channels, 1), nn.ReLU6()]
        body += [nn.Conv2d(channels, channels, kernel, 1, kernel // 2, groups=channels), nn.ReLU6()]
    return nn.Sequential(*body, nn.Conv2d(channels, channels, 1)), (torch.rand(1, channels, side, side),)


def _linear(one: int, two: int, rows: int, count: int) -> Made:
    import torch

    sizes = [(one, two) if place % 2 == 0 else (two, one) for place in range(count)]
    return torch.nn.Sequential(*(torch.nn.Linear(a, b) for a, b in sizes)), (torch.rand(rows, one),)


def _signals(one: int, two: int, length: int, count: int, kernel: int) -> Made:
    import torch

    sizes = [(one, two) if place % 2 == 0 else (two, one) for place in range(count)]
    layers = [torch.nn.Conv1d(a, b, kernel, padding=kernel // 2) for a, b in sizes]
    return torch.nn.Sequential(*layers), (torch.rand(1, one, length),)


def _transposed(channels: int, side: int, count: int, kernel: int) -> Made:
    import torch

    pads = {2: (2, 0), 3: (1, 1), 4: (2, 1)}[kernel]
    layers = [torch.nn.ConvTranspose2d(channels, channels, kernel, *pads) for _ in range(count)]
    return torch.nn.Sequential(*layers), (torch.rand(1, channels, side, side),)


def _transposed1d(channels: int, length: int, count: int) -> Made:
    import torch

    layers = [torch.nn.ConvTranspose1d(channels, channels, 4, 2, 1) for _ in range(count)]
    return torch.nn.Sequential(*layers), (torch.rand(1, channels, length),)


def _embedding(rows: int, width: int, tokens: int) -> Made:
    import torch

    return torch.nn.Sequential(torch.nn.Embedding(rows, width)), (torch.arange(tokens).reshape(1, tokens) % rows,)


def _recurrent(kind: str, width: int, steps: int) -> Made:
    import torch

    class First(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.layer = getattr(torch.nn, kind)(width, width, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.layer(x)[0]

    return First(), (torch.rand(1, steps, width),)
