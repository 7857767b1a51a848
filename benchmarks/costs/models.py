"""Models whose memory and time are predicted and measured: none of them was used to fit a table."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.cases import CASES

Made = tuple[Any, tuple[Any, ...]]


class First(nn.Module):
    """A transformers model without its output class; integers come as int64."""

    def __init__(self, model: Any, field: str) -> None:
        super().__init__()
        self.model, self.field = model.eval(), field

    def forward(self, x: Any) -> Any:
        return getattr(self.model(x), self.field)


def image(size: int = 224) -> tuple[Any]:
    torch.manual_seed(0)
    return (torch.randn(1, 3, size, size),)


def encoder(model: Any, words: int, length: int) -> Made:
    """A transformers encoder of words, and a text of `length` of them."""
    return First(model, "last_hidden_state"), (torch.randint(0, words, (1, length)),)


def resnet() -> Made:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=100)
    return First(ResNetForImageClassification(config), "logits"), image()


def mobilenet() -> Made:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return First(MobileNetV2ForImageClassification(MobileNetV2Config(image_size=224, num_labels=1000)), "logits"), image()


def vit() -> Made:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=768)
    return First(ViTForImageClassification(config), "logits"), image()


def bert() -> Made:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=8000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        max_position_embeddings=128,
    )  # fmt: skip
    return encoder(BertModel(config), 8000, 64)


def convnext() -> Made:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[48, 96, 192, 384], depths=[2, 2, 4, 2], num_labels=100)
    return First(ConvNextForImageClassification(config), "logits"), image(160)


def unet() -> Made:
    class Unet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.deep = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 128, 3, padding=1)
            self.deeper = nn.Conv2d(128, 256, 3, padding=1)
            self.up, self.out = nn.ConvTranspose2d(256, 32, 2, 2), nn.Conv2d(64, 2, 3, padding=1)

        def forward(self, x: Any) -> Any:
            wide = self.down(x).relu()
            deep = self.deeper(self.deep(nn.functional.max_pool2d(wide, 2)).relu()).relu()
            return self.out(torch.cat([self.up(deep), wide], 1))

    return Unet().eval(), image(128)


def perceptron() -> Made:
    layers = [nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 1024), nn.Tanh(), nn.Linear(1024, 512)]
    return nn.Sequential(*layers).eval(), (torch.randn(4, 1024),)


def sound() -> Made:
    def block(inputs: int, outputs: int, stride: int) -> Any:
        return nn.Sequential(nn.Conv1d(inputs, outputs, 5, stride, 2), nn.BatchNorm1d(outputs), nn.ReLU())

    body = [block(40, 128, 1), block(128, 256, 2), block(256, 256, 1), block(256, 384, 2), nn.AdaptiveAvgPool1d(1)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(384, 35)).eval(), (torch.randn(1, 40, 200),)


MODELS: dict[str, Any] = {
    "efficientnet-lite0": CASES["photo-classifier"], "minilm": CASES["sentence-encoder"], "lcnet": CASES["page-orientation"],
    "resnet18": resnet, "mobilenet-v2": mobilenet, "vit": vit, "bert": bert, "convnext": convnext, "unet": unet,
    "perceptron": perceptron, "sound": sound,
}  # fmt: skip
"""Name → an example with real weights, or a factory of a module with random ones."""


def load(name: str) -> Any:
    """Return the `sdk.models.Model` of a name in MODELS, FRESH, SEEN or UNSEEN."""
    from benchmarks.costs.fresh_models import FRESH
    from benchmarks.costs.seen_models import SEEN
    from benchmarks.costs.unseen_models import UNSEEN
    from sdk.models.load import load_model

    found = (MODELS | FRESH | SEEN | UNSEEN)[name]
    if name in ("efficientnet-lite0", "minilm", "lcnet"):
        inputs = found.calibration[0] if name == "minilm" else found.loaded[1]
        return load_model(found.loaded[0], inputs, name=name)
    torch.manual_seed(0)
    module, inputs = found()
    return load_model(module, inputs, name=name)
