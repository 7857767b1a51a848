"""Architectures of published models, with random weights on no device: only their shapes count.

Sizes of inputs are those that the publisher's model pages state (images 224 unless given, texts 128 or 384 tokens).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

ENDS = ("ForImageClassification", "ForMaskedLM", "ForSemanticSegmentation", "Model")


def image(size: int = 224, frames: int = 0) -> dict[str, Any]:
    return {"pixel_values": torch.empty(1, *([frames] if frames else []), 3, size, size)}


def text(tokens: int) -> dict[str, Any]:
    return {"input_ids": torch.zeros(1, tokens, dtype=torch.long)}


def made(name: str, config: str | None = None, **words: Any) -> Any:
    """Return a transformers model of a configuration."""
    import transformers

    stem = config or next(name.removesuffix(end) for end in ENDS if name.endswith(end))
    made_config = getattr(transformers, f"{stem}Config")(**words)
    made_config._attn_implementation = "eager"
    return getattr(transformers, name)(made_config)


def resnet(depths: tuple[int, ...], kind: str, width: int = 64) -> Any:
    sizes = [width * 2**i * (4 if kind == "bottleneck" else 1) for i in range(4)]
    return made("ResNetForImageClassification", hidden_sizes=sizes, depths=list(depths), layer_type=kind, num_labels=1000)


class Residual(nn.Module):
    """A bottleneck in groups (ResNeXt, wide ResNet)."""

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, middle, 1), nn.ReLU(), nn.Conv2d(middle, middle, 3, stride, 1, groups=groups), nn.ReLU(),
            nn.Conv2d(middle, outputs, 1),
        )  # fmt: skip
        self.skip = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs or stride > 1 else nn.Identity()

    def forward(self, x: Any) -> Any:
        return torch.relu(self.body(x) + self.skip(x))


class Images(nn.Module):
    """A plain module that takes `pixel_values` as the others do."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, pixel_values: Any) -> Any:
        return self.body(pixel_values)


def grouped(depths: tuple[int, ...], groups: int, width: int) -> Any:
    layers: list[Any] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, depth in enumerate(depths):
        middle, outputs = groups * width * 2**stage, 256 * 2**stage
        for block in range(depth):
            layers.append(Residual(inputs, middle, outputs, 2 if stage and not block else 1, groups))
            inputs = outputs
    return Images(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


class Dense(nn.Module):
    """One layer of DenseNet: its output goes behind its input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, 128, 1), nn.ReLU(), nn.Conv2d(128, 32, 3, padding=1))

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.body(x)], 1)


def densenet() -> Any:
    layers: list[Any] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate((6, 12, 24, 16)):
        for _ in range(depth):
            layers.append(Dense(channels))
            channels += 32
        if stage < 3:
            layers += [nn.ReLU(), nn.Conv2d(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    return Images(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class Up(nn.Module):
    """A U-Net's level: down, the inner levels, up, joined."""

    def __init__(self, inputs: int, width: int, inner: Any) -> None:
        super().__init__()
        self.first, self.inner = _pair(inputs, width), inner
        self.up, self.last = nn.ConvTranspose2d(2 * width, width, 2, 2), _pair(2 * width, width)

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        deep = self.inner(nn.functional.max_pool2d(x, 2))
        return self.last(torch.cat([x, self.up(deep)], 1))


def _pair(inputs: int, outputs: int) -> Any:
    first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def unet() -> Any:
    inner: Any = _pair(512, 1024)
    for width in (512, 256, 128, 64):
        inner = Up(3 if width == 64 else width // 2, width, inner)
    return Images(inner, nn.Conv2d(64, 2, 1))


def fcn() -> Any:
    body = resnet((3, 4, 6, 3), "bottleneck")
    return Images(_Backbone(body), nn.Conv2d(2048, 512, 3, padding=1), nn.ReLU(), nn.Conv2d(512, 21, 1))


class _Backbone(nn.Module):
    """ResNet whose last two stages keep their resolution by dilation: a stride of 8 in all."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network.resnet
        for stage in self.network.encoder.stages[2:]:
            for module in stage.modules():
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)

    def forward(self, x: Any) -> Any:
        return self.network(x).last_hidden_state


VIT = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
SWIN = {
    "tiny": (96, [2, 2, 6, 2], [3, 6, 12, 24]), "small": (96, [2, 2, 18, 2], [3, 6, 12, 24]),
    "base": (128, [2, 2, 18, 2], [4, 8, 16, 32]),
}  # fmt: skip


def swin(size: str) -> Any:
    width, depths, heads = SWIN[size]
    return lambda: made("SwinForImageClassification", embed_dim=width, depths=depths, num_heads=heads, num_labels=1000)


BUILDERS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("resnet18", "*"): (lambda: resnet((2, 2, 2, 2), "basic"), image),
    ("resnet50", "*"): (lambda: resnet((3, 4, 6, 3), "bottleneck"), image),
    ("resnet101", "*"): (lambda: resnet((3, 4, 23, 3), "bottleneck"), image),
    ("resnext50", "*"): (lambda: grouped((3, 4, 6, 3), 32, 4), image),
    ("resnext101", "*"): (lambda: grouped((3, 4, 23, 3), 32, 8), image),
    ("wideresnet50", "*"): (lambda: grouped((3, 4, 6, 3), 1, 128), image),
    ("densenet121", "*"): (densenet, image),
    ("regnet", "*"): (lambda: made("RegNetForImageClassification", embedding_size=32, hidden_sizes=[96, 192, 432, 1008],
                                   depths=[2, 6, 15, 2], groups_width=48, layer_type="x", num_labels=1000), image),
    ("mobilenet_v2", "*"): (lambda: made("MobileNetV2ForImageClassification", num_labels=1000), image),
    ("convnext_base", "*"): (lambda: made("ConvNextForImageClassification", hidden_sizes=[128, 256, 512, 1024],
                                          depths=[3, 3, 27, 3], num_labels=1000), image),
    ("vit", "*"): (lambda: made("ViTForImageClassification", **VIT), image),
    ("beit", "*"): (lambda: made("BeitForImageClassification", **VIT), image),
    **{(f"swin_{size}", "*"): (swin(size), image) for size in SWIN},
    ("video_mae", "*"): (lambda: made("VideoMAEForVideoClassification", "VideoMAE", **VIT), lambda: image(224, 16)),
    ("segformer_base", "*"): (lambda: made("SegformerForSemanticSegmentation", num_labels=150), lambda: image(512)),
    ("fcn_resnet50", "*"): (fcn, lambda: image(512)),
    ("unet_segmentation", "*"): (unet, lambda: {"pixel_values": torch.empty(1, 3, 640, 1280)}),
    ("trocr", "TrOCREncoder"): (lambda: made("ViTModel", hidden_size=384, num_hidden_layers=12, num_attention_heads=6,
                                             intermediate_size=1536, image_size=384), lambda: image(384)),
    ("depth_anything", "*"): (lambda: made("Dinov2Model", hidden_size=384, num_hidden_layers=12, num_attention_heads=6,
                                           image_size=518, patch_size=14), lambda: image(518)),
    ("bert_base_uncased_hf", "*"): (lambda: made("BertForMaskedLM"), lambda: text(384)),
    ("distil_bert_base_uncased_hf", "*"): (lambda: made("DistilBertForMaskedLM"), lambda: text(384)),
    ("albert_base_v2_hf", "*"): (lambda: made("AlbertForMaskedLM", hidden_size=768, num_attention_heads=12,
                                              intermediate_size=3072), lambda: text(384)),
    ("mobile_bert_uncased_google", "*"): (lambda: made("MobileBertForMaskedLM"), lambda: text(384)),
    ("nomic_embed_text", "*"): (lambda: made("BertModel"), lambda: text(128)),
    ("openai_clip", "CLIPImageEncoder"): (lambda: made("CLIPVisionModel", "CLIPVision", **VIT, patch_size=16), image),
    ("openai_clip", "CLIPTextEncoder"): (lambda: made("CLIPTextModel", "CLIPText"), lambda: text(77)),
    ("whisper_base", "HfWhisperEncoder"): (lambda: _whisper(512, 6, 8), lambda: {"input_features": torch.empty(1, 80, 3000)}),
    ("whisper_base_en", "WhisperEncoder"): (lambda: _whisper(512, 6, 8), lambda: {"input_features": torch.empty(1, 80, 3000)}),
    ("whisper_small_en", "WhisperEncoder"): (lambda: _whisper(768, 12, 12), lambda: {"input_features": torch.empty(1, 80, 3000)}),
    ("whisper_small", "WhisperSmallEncoderQuantizable"): (
        lambda: _whisper(768, 12, 12), lambda: {"input_features": torch.empty(1, 80, 3000)}),
    **{(f"opus_mt_{pair}", "OpusMTEncoder"): (lambda: _marian(), lambda: text(256))
       for pair in ("en_es", "es_en", "en_zh", "zh_en")},
}  # fmt: skip
"""(model, component or * for any) → what builds it, and what makes its inputs; `_quantized` in a model's name does not count."""


def _whisper(width: int, layers: int, heads: int) -> Any:
    sizes = {"d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * width}
    return made("WhisperModel", **sizes, decoder_layers=1, decoder_attention_heads=heads).encoder


def _marian() -> Any:
    return made("MarianModel", d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048, decoder_layers=1,
                vocab_size=65001, pad_token_id=65000).encoder  # fmt: skip


TWINS = {"opus_mt_es_en": "opus_mt_en_es", "opus_mt_en_zh": "opus_mt_en_es", "opus_mt_zh_en": "opus_mt_en_es"}
"""Models of one architecture under several names: they are left out together."""
SIZES = {"HfWhisperEncoder": "WhisperEncoder", "WhisperSmallEncoderQuantizable": "WhisperEncoder"}


def builder(model: str, component: str) -> tuple[str, Any] | None:
    """Return (architecture's name, its builder and inputs), or None for one that cannot be built here."""
    name = model.removesuffix("_quantized")
    for key in ((name, component), (name, "*")):
        if key in BUILDERS:
            family = TWINS.get(key[0], key[0]).removesuffix("_en" if "whisper" in key[0] else "\0")
            return f"{family}:{SIZES.get(key[1], key[1])}", BUILDERS[key]
    return None
