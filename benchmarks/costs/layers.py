"""Small models of one kind of layer each, from which the tables of memory and time are fitted."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from targets.tflite.probe import _first

Made = tuple[Any, tuple[Any, ...]]

HEAVY: dict[str, Any] = {
    "linear": lambda: (nn.Linear(2048, 2048), torch.rand(1, 2048)),
    "pointwise": lambda: (nn.Conv2d(1024, 2048, 1), torch.rand(1, 1024, 4, 4)),
    "conv2d": lambda: (nn.Conv2d(512, 512, 3, padding=1), torch.rand(1, 512, 6, 6)),
    "depthwise_large": lambda: (nn.Conv2d(4096, 4096, 7, padding=3, groups=4096), torch.rand(1, 4096, 2, 2)),
    "conv1d": lambda: (nn.Conv1d(512, 512, 5, padding=2), torch.rand(1, 512, 16)),
    "pointwise1d": lambda: (nn.Conv1d(1024, 2048, 1), torch.rand(1, 1024, 8)),
    "conv_transpose1d": lambda: (nn.ConvTranspose1d(512, 512, 4, stride=2, padding=1), torch.rand(1, 512, 16)),
    "conv_transpose2d": lambda: (nn.ConvTranspose2d(512, 512, 2, stride=2), torch.rand(1, 512, 4, 4)),
    "embedding": lambda: (nn.Embedding(64000, 256), torch.arange(8).reshape(1, 8)),
    "lstm": lambda: (_first(nn.LSTM(512, 512, batch_first=True)), torch.rand(1, 8, 512)),
    "gru": lambda: (_first(nn.GRU(512, 512, batch_first=True)), torch.rand(1, 8, 512)),
}
"""Kind → a layer with megabytes of weights and few activations."""


class Block(nn.Module):
    """Half of a transformer's layer, without attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Any) -> Any:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


def _deep(block: Any, count: int) -> Any:
    return nn.Sequential(*(block() for _ in range(count)))


DEEP: dict[str, Any] = {
    "linears": lambda: (_deep(lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU()), 60), torch.rand(8, 64)),
    "few linears": lambda: (_deep(lambda: nn.Sequential(nn.Linear(64, 64), nn.Tanh()), 5), torch.rand(8, 64)),
    "convolutions": lambda: (_deep(lambda: nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()), 40), torch.rand(1, 16, 16, 16)),
    "blocks": lambda: (_deep(lambda: Block(64), 16), torch.rand(1, 32, 64)),
    "few blocks": lambda: (_deep(lambda: Block(128), 4), torch.rand(1, 64, 128)),
}
"""Name → many small operators: what each of them costs, whatever its weights."""


def load(name: str) -> Any:
    """Return the `sdk.models.Model` of a name in HEAVY or DEEP."""
    from sdk.models.load import load_model

    torch.manual_seed(0)
    module, value = (HEAVY | DEEP)[name]()
    return load_model(nn.Sequential(module).eval(), (value,), name=name.replace(" ", "-"))
