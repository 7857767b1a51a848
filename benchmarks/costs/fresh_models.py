"""Models that were measured while the memory model was made, and taught it what the known ones had not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, encoder, image


def voice() -> Made:
    """A detector of speech: convolutions over frames, a recurrent layer, a decision per frame."""

    class Voice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv1d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv1d(128, 192, 3, 2, 1), nn.ReLU(),
                nn.Conv1d(192, 256, 3, 2, 1), nn.ReLU(),
            )  # fmt: skip
            self.memory, self.head = nn.LSTM(256, 256, batch_first=True), nn.Linear(256, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.memory(self.body(x).transpose(1, 2))[0]).sigmoid()

    return Voice().eval(), (torch.rand(1, 64, 160),)


def portrait() -> Made:
    """A segmenter with two levels and skips, of normalised convolutions."""

    def block(inputs: int, outputs: int) -> Any:
        parts = (nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())
        return nn.Sequential(*parts, nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

    class Portrait(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = block(3, 24), block(24, 48), block(48, 160)
            self.up, self.wide, self.out = nn.ConvTranspose2d(160, 48, 2, 2), block(96, 48), nn.Conv2d(72, 1, 1)

        def forward(self, x: Any) -> Any:
            one = self.one(x)
            two = self.two(nn.functional.max_pool2d(one, 2))
            three = self.three(nn.functional.max_pool2d(two, 2))
            both = self.wide(torch.cat([self.up(three), two], 1))
            return self.out(torch.cat([nn.functional.interpolate(both, scale_factor=2.0), one], 1))

    return Portrait().eval(), image(96)


def efficientnet() -> Made:
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(image_size=160, width_coefficient=0.75, depth_coefficient=0.7, hidden_dim=960, num_labels=100)
    return First(EfficientNetForImageClassification(config), "logits"), image(160)


def deit() -> Made:
    from transformers import DeiTConfig, DeiTForImageClassification

    config = DeiTConfig(
        hidden_size=256, num_hidden_layers=5, num_attention_heads=4, intermediate_size=1024, image_size=128, num_labels=50
    )
    return First(DeiTForImageClassification(config), "logits"), image(128)


def mobilevit() -> Made:
    from transformers import MobileViTConfig, MobileViTForImageClassification

    config = MobileViTConfig(image_size=128, hidden_sizes=[96, 120, 144], num_labels=100)
    return First(MobileViTForImageClassification(config), "logits"), image(128)


def speech() -> Made:
    """A wave's convolutional encoder under two layers of a transformer."""

    class Speech(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = ((1, 256, 10, 5), (256, 256, 3, 2), (256, 256, 3, 2), (256, 256, 3, 2))
            self.body = nn.Sequential(*(nn.Sequential(nn.Conv1d(i, o, k, s), nn.GELU()) for i, o, k, s in sizes))
            layer = nn.TransformerEncoderLayer(256, 4, 1024, activation="gelu", batch_first=True, norm_first=True)
            self.context = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(256, 32)

        def forward(self, x: Any) -> Any:
            return self.head(self.context(self.body(x).transpose(1, 2)))

    return Speech().eval(), (torch.randn(1, 1, 8000),)


def distilbert() -> Made:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=12000, dim=192, n_layers=5, n_heads=6, hidden_dim=768, max_position_embeddings=64)
    return encoder(DistilBertModel(config), 12000, 48)


def regnet() -> Made:
    from transformers import RegNetConfig, RegNetForImageClassification

    config = RegNetConfig(hidden_sizes=[48, 96, 192, 384], depths=[1, 2, 4, 1], groups_width=24, num_labels=100)
    return First(RegNetForImageClassification(config), "logits"), image(160)


FRESH: dict[str, Any] = {
    "voice": voice, "portrait": portrait, "efficientnet": efficientnet, "deit": deit, "mobilevit": mobilevit, "speech": speech,
    "distilbert": distilbert, "regnet": regnet,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
