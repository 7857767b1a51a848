"""Models that were once unseen: what was far off on them led to the causes that the memory model counts since."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, encoder, image


def mobilenet_v1() -> Made:
    from transformers import MobileNetV1Config, MobileNetV1ForImageClassification

    config = MobileNetV1Config(image_size=160, depth_multiplier=0.5, num_labels=200)
    return First(MobileNetV1ForImageClassification(config), "logits"), image(160)


def poolformer() -> Made:
    from transformers import PoolFormerConfig, PoolFormerForImageClassification

    config = PoolFormerConfig(depths=[1, 1, 3, 1], hidden_sizes=[32, 64, 160, 256], num_encoder_blocks=4, num_labels=60)
    return First(PoolFormerForImageClassification(config), "logits"), image(128)


def segformer() -> Made:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1, 1, 2, 1], hidden_sizes=[24, 48, 96, 192], num_attention_heads=[1, 2, 3, 6], decoder_hidden_size=128,
        num_labels=8,
    )  # fmt: skip
    return First(SegformerForSemanticSegmentation(config), "logits"), image(128)


def albert() -> Made:
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        vocab_size=9000, embedding_size=96, hidden_size=288, num_hidden_layers=4, num_attention_heads=6, intermediate_size=1152,
        max_position_embeddings=96,
    )  # fmt: skip
    return encoder(AlbertModel(config), 9000, 80)


def mixer() -> Made:
    """Patches that are mixed by linear layers over places and over channels in turn."""

    class Mix(nn.Module):
        def __init__(self, places: int, width: int) -> None:
            super().__init__()
            self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
            self.places = nn.Sequential(nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places))
            self.channels = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

        def forward(self, x: Any) -> Any:
            x = x + self.places(self.one(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.two(x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.head = nn.Conv2d(3, 224, 16, 16), nn.Linear(224, 75)
            self.body = nn.Sequential(*(Mix(144, 224) for _ in range(5)))

        def forward(self, x: Any) -> Any:
            return self.head(self.body(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    return Mixer().eval(), image(192)


def dilated() -> Made:
    """A tagger of sequences: dilated convolutions with residuals."""

    class Layer(nn.Module):
        def __init__(self, width: int, dilation: int) -> None:
            super().__init__()
            self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
            self.back = nn.Conv1d(width, width, 1)

        def forward(self, x: Any) -> Any:
            return x + self.back(self.wide(x).relu())

    body = [Layer(160, 2**place) for place in range(7)]
    return nn.Sequential(nn.Conv1d(24, 160, 1), *body, nn.Conv1d(160, 12, 1)).eval(), (torch.randn(1, 24, 256),)


def keyword() -> Made:
    """A detector of words: a convolution over the spectrum, two recurrent layers, a decision."""

    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = nn.Sequential(nn.Conv2d(1, 24, (3, 8), (1, 4), (1, 2)), nn.BatchNorm2d(24), nn.ReLU())
            self.one, self.two = nn.GRU(240, 128, batch_first=True), nn.GRU(128, 128, batch_first=True)
            self.head = nn.Linear(128, 20)

        def forward(self, x: Any) -> Any:
            seen = self.front(x).permute(0, 2, 1, 3).flatten(2)
            return self.head(self.two(self.one(seen)[0])[0][:, -1])

    return Keyword().eval(), (torch.randn(1, 1, 30, 40),)


def squeezed() -> Made:
    """Convolutions that squeeze, and expand again on two ways that are joined."""

    class Fire(nn.Module):
        def __init__(self, inputs: int, narrow: int, wide: int) -> None:
            super().__init__()
            self.squeeze = nn.Conv2d(inputs, narrow, 1)
            self.one, self.three = nn.Conv2d(narrow, wide, 1), nn.Conv2d(narrow, wide, 3, padding=1)

        def forward(self, x: Any) -> Any:
            x = self.squeeze(x).relu()
            return torch.cat([self.one(x).relu(), self.three(x).relu()], 1)

    body = [nn.Conv2d(3, 64, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2), Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2)]
    body += [Fire(128, 32, 128), Fire(256, 48, 192), nn.MaxPool2d(3, 2), Fire(384, 64, 256), nn.Conv2d(512, 100, 1), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), image(192)


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
    return encoder(ElectraModel(config), 10000, 56)


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


SEEN: dict[str, Any] = {
    "mobilenet-v1": mobilenet_v1, "poolformer": poolformer, "segformer": segformer, "albert": albert, "mixer": mixer,
    "dilated": dilated, "keyword": keyword, "squeezed": squeezed, "bottleneck": bottleneck, "electra": electra,
    "listener": listener, "dense": dense, "shuffled": shuffled, "enlarger": enlarger, "textnet": textnet, "hgnet": hgnet,
    "focal": focal, "windows": windows, "relative": relative, "caption": caption, "keys": keys, "turned": turned, "wake": wake,
    "response": response, "depth": depth, "swift": swift, "wave": wave, "grouped": grouped, "separator": separator,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
