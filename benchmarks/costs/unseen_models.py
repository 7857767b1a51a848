"""Models that were chosen after the memory model was finished: predicted first, then measured, and nothing was changed after."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, encoder, image


def keys() -> Made:
    """Convolutions that become attention with a learned number for each distance."""
    from transformers import LevitConfig, LevitForImageClassification

    config = LevitConfig(
        image_size=128, hidden_sizes=[96, 160, 224], depths=[2, 2, 2], num_attention_heads=[3, 5, 7], key_dim=[16, 16, 16],
        num_labels=40,
    )  # fmt: skip
    return First(LevitForImageClassification(config), "logits"), image(128)


def turned() -> Made:
    """An encoder of words whose queries and keys are turned by their place."""
    from transformers import RoFormerConfig, RoFormerModel

    config = RoFormerConfig(
        vocab_size=9000, hidden_size=224, embedding_size=224, num_hidden_layers=3, num_attention_heads=4, intermediate_size=672,
        max_position_embeddings=128,
    )  # fmt: skip
    return encoder(RoFormerModel(config), 9000, 56)


def wake() -> Made:
    """A spectrogram's convolution, two recurrent layers over its frames, a decision on the last."""

    class Wake(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = nn.Conv2d(1, 24, (20, 5), (8, 2))
            self.one, self.two = nn.GRU(24 * 9, 96, batch_first=True), nn.GRU(96, 96, batch_first=True)
            self.wide, self.out = nn.Linear(96, 160), nn.Linear(160, 12)

        def forward(self, x: Any) -> Any:
            frames = self.front(x).relu().permute(0, 3, 1, 2).flatten(2)
            return self.out(self.wide(self.two(self.one(frames)[0])[0][:, -1]).relu())

    return Wake().eval(), (torch.randn(1, 1, 88, 51),)


def response() -> Made:
    """Depthwise blocks whose channels are weighed by how much the whole image responds."""
    from transformers import ConvNextV2Config, ConvNextV2ForImageClassification

    config = ConvNextV2Config(image_size=128, hidden_sizes=[32, 64, 128, 256], depths=[1, 1, 3, 1], num_labels=45)
    model = ConvNextV2ForImageClassification(config)
    for name, value in model.named_parameters():
        if "grn" in name:  # zeros before training, with which LiteRT's converter leaves the norm out
            nn.init.normal_(value)
    return First(model, "logits"), image(128)


def depth() -> Made:
    """A map of depths from attention whose keys are fewer, joined at four sizes."""
    from transformers import GLPNConfig, GLPNForDepthEstimation

    config = GLPNConfig(
        hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=32,
        mlp_ratios=[4, 4, 4, 4],
    )  # fmt: skip
    return First(GLPNForDepthEstimation(config), "predicted_depth"), image(128)


def swift() -> Made:
    """Convolutions beside attention that adds queries up instead of comparing them."""
    from transformers import SwiftFormerConfig, SwiftFormerForImageClassification

    config = SwiftFormerConfig(image_size=128, depths=[1, 1, 2, 1], embed_dims=[32, 48, 96, 160], num_labels=50)
    return First(SwiftFormerForImageClassification(config), "logits"), image(128)


def wave() -> Made:
    """A wave's convolutions, places by a grouped one, and attention."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=160, num_hidden_layers=2, num_attention_heads=4, intermediate_size=480, conv_dim=[96, 96, 128, 128],
        conv_stride=[5, 4, 2, 2], conv_kernel=[10, 4, 3, 2], num_feat_extract_layers=4, num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    return First(Wav2Vec2Model(config), "last_hidden_state"), (torch.randn(1, 6400),)


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
    "keys": keys, "turned": turned, "wake": wake, "response": response, "depth": depth, "swift": swift, "wave": wave,
    "grouped": grouped, "separator": separator,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
