"""Models that were chosen after the memory model was finished: predicted first, then measured, and nothing was changed after."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, image


def bottleneck() -> Made:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(hidden_sizes=[96, 192, 384, 512], embedding_size=32, depths=[2, 2, 3, 1], num_labels=120)
    return First(ResNetForImageClassification(config), "logits"), image(160)


def electra() -> Made:
    from transformers import ElectraConfig, ElectraModel

    config = ElectraConfig(
        vocab_size=10000, embedding_size=128, hidden_size=224, num_hidden_layers=4, num_attention_heads=4, intermediate_size=896,
        max_position_embeddings=128,
    )  # fmt: skip
    torch.manual_seed(0)
    return First(ElectraModel(config), "last_hidden_state"), (torch.randint(0, 10000, (1, 56)),)


def listener() -> Made:
    """The encoder of a recognizer of speech: two convolutions over a spectrogram, then attention without a mask."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    sizes = {"encoder_layers": 3, "encoder_attention_heads": 3, "encoder_ffn_dim": 768, "max_source_positions": 150}
    config = WhisperConfig(d_model=192, **sizes)
    return First(WhisperEncoder(config), "last_hidden_state"), (torch.randn(1, 80, 300),)


def dense() -> Made:
    """Blocks in which each layer reads all before it, joined."""

    class Layer(nn.Module):
        def __init__(self, inputs: int, growth: int) -> None:
            super().__init__()
            self.one = nn.Sequential(nn.Conv2d(inputs, 4 * growth, 1, bias=False), nn.BatchNorm2d(4 * growth), nn.ReLU())
            self.two = nn.Sequential(nn.Conv2d(4 * growth, growth, 3, padding=1), nn.BatchNorm2d(growth), nn.ReLU())

        def forward(self, x: Any) -> Any:
            return torch.cat([x, self.two(self.one(x))], 1)

    parts: list[Any] = [nn.Conv2d(3, 32, 7, 2, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = 32
    for layers in (3, 4, 5):
        parts += [Layer(width + 16 * place, 16) for place in range(layers)]
        width += 16 * layers
        parts += [nn.Conv2d(width, width // 2, 1), nn.ReLU(), nn.AvgPool2d(2)]
        width //= 2
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 40)).eval(), image(176)


def shuffled() -> Made:
    """Units that split their channels, compute one half, and mix both."""

    def apart(width: int, stride: int) -> Any:
        return nn.Conv2d(width, width, 3, stride, 1, groups=width)

    class Unit(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            half = width // 2
            first, last = (nn.Sequential(nn.Conv2d(half, half, 1), nn.ReLU()) for _ in range(2))
            self.body = nn.Sequential(first, apart(half, 1), last)

        def forward(self, x: Any) -> Any:
            one, two = x.chunk(2, 1)
            both = torch.stack([one, self.body(two)], 2)
            return both.flatten(1, 2)

    def stage(inputs: int, outputs: int, units: int) -> list[Any]:
        return [apart(inputs, 2), nn.Conv2d(inputs, outputs, 1), nn.ReLU(), *(Unit(outputs) for _ in range(units))]

    body = [nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU(), *stage(24, 96, 2), *stage(96, 192, 3), *stage(192, 384, 2)]
    head = [nn.Conv2d(384, 640, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(640, 90)]
    return nn.Sequential(*body, *head).eval(), image(192)


def enlarger() -> Made:
    """An image made three times as large: convolutions, and their channels laid out as pixels."""
    sizes = ((3, 48, 5), (48, 48, 3), (48, 32, 3))
    body = [part for one, two, k in sizes for part in (nn.Conv2d(one, two, k, padding=k // 2), nn.Tanh())]
    return nn.Sequential(*body, nn.Conv2d(32, 27, 3, padding=1), nn.PixelShuffle(3)).eval(), image(96)


UNSEEN: dict[str, Any] = {
    "bottleneck": bottleneck, "electra": electra, "listener": listener, "dense": dense, "shuffled": shuffled,
    "enlarger": enlarger,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
