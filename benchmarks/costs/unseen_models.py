"""Models that were chosen after the memory model was finished: predicted first, then measured, and nothing was changed after."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, encoder, image


def textnet() -> Made:
    """Convolutions of three shapes, side by side while it was trained."""
    from transformers import TextNetConfig, TextNetForImageClassification

    layers = [[[3, 3], [3, 3]], [[3, 3], [1, 3], [3, 1]], [[3, 3], [3, 1], [1, 3]], [[3, 3], [1, 3]]]
    config = TextNetConfig(
        hidden_sizes=[32, 48, 96, 160, 256], stem_num_channels=3, stem_out_channels=32, num_labels=70,
        conv_layer_kernel_sizes=layers, conv_layer_strides=[[1, 2], [2, 1, 1], [2, 1, 1], [2, 1]],
    )  # fmt: skip
    return First(TextNetForImageClassification(config), "logits"), image(160)


def hgnet() -> Made:
    """Stages that join the results of all their layers at once."""
    from transformers import HGNetV2Config, HGNetV2ForImageClassification

    config = HGNetV2Config(
        stem_channels=[3, 16, 32], stage_in_channels=[32, 64, 160, 256], stage_mid_channels=[16, 32, 64, 96],
        stage_out_channels=[64, 160, 256, 384], stage_num_blocks=[1, 1, 2, 1], stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True], stage_kernel_size=[3, 3, 5, 5], stage_numb_of_layers=[3, 3, 4, 4],
        hidden_sizes=[64, 160, 256, 384], depths=[1, 1, 2, 1], embedding_size=32, num_labels=80,
    )  # fmt: skip
    return First(HGNetV2ForImageClassification(config), "logits"), image(160)


def focal() -> Made:
    """Blocks that gate by what depthwise convolutions of growing size see."""
    from transformers import FocalNetConfig, FocalNetForImageClassification

    config = FocalNetConfig(
        image_size=128, embed_dim=32, depths=[1, 1, 2, 1], focal_levels=[2, 2, 2, 2], hidden_sizes=[32, 64, 128, 256],
        num_labels=50,
    )  # fmt: skip
    return First(FocalNetForImageClassification(config), "logits"), image(128)


def windows() -> Made:
    """Attention within windows that are shifted."""
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(image_size=112, embed_dim=48, depths=[2, 2, 2], num_heads=[2, 4, 8], window_size=7, num_labels=60)
    return First(SwinForImageClassification(config), "logits"), image(112)


def relative() -> Made:
    """An encoder whose attention adds a number for each distance."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=7000, d_model=192, d_kv=32, d_ff=640, num_layers=4, num_heads=6, feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=16,
    )  # fmt: skip
    return encoder(T5EncoderModel(config), 7000, 72)


def caption() -> Made:
    """The encoder of texts that belong to images, each word of which sees those before it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=11000, hidden_size=256, intermediate_size=896, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=64, projection_dim=128,
    )  # fmt: skip
    return encoder(CLIPTextModel(config), 11000, 40)


def grouped() -> Made:
    """An encoder of words whose layers are grouped convolutions."""
    from transformers import SqueezeBertConfig, SqueezeBertModel

    config = SqueezeBertConfig(
        vocab_size=6000, hidden_size=256, embedding_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=768,
        max_position_embeddings=96,
    )  # fmt: skip
    return encoder(SqueezeBertModel(config), 6000, 64)


def separator() -> Made:
    """A wave that gated, dilated convolutions take apart into two."""

    class Gate(nn.Module):
        def __init__(self, width: int, wide: int, dilation: int) -> None:
            super().__init__()
            self.wide = nn.Conv1d(width, wide, 1)
            self.gate, self.value = (nn.Conv1d(wide, wide, 3, padding=dilation, dilation=dilation, groups=wide) for _ in range(2))
            self.back = nn.Conv1d(wide, width, 1)

        def forward(self, x: Any) -> Any:
            seen = self.wide(x).relu()
            return x + self.back(self.gate(seen).sigmoid() * self.value(seen).tanh())

    class Separator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front, self.narrow = nn.Conv1d(1, 192, 16, 8), nn.Conv1d(192, 96, 1)
            self.body = nn.Sequential(*(Gate(96, 256, 2**place) for place in range(6)))
            self.masks, self.out = nn.Conv1d(96, 384, 1), nn.ConvTranspose1d(192, 1, 16, 8)

        def forward(self, x: Any) -> Any:
            seen = self.front(x).relu()
            one, two = self.masks(self.body(self.narrow(seen))).sigmoid().chunk(2, 1)
            return torch.cat([self.out(seen * one), self.out(seen * two)], 1)

    return Separator().eval(), (torch.randn(1, 1, 4000),)


UNSEEN: dict[str, Any] = {
    "textnet": textnet, "hgnet": hgnet, "focal": focal, "windows": windows, "relative": relative, "caption": caption,
    "grouped": grouped, "separator": separator,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
