"""Models that were chosen after the memory model was finished: predicted first, then measured, and nothing was changed after."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from benchmarks.costs.models import First, Made, encoder, image


def outline() -> Made:
    """A segmenter of three levels with skips, whose convolutions are normalised per image and channel."""

    def block(inputs: int, outputs: int) -> Any:
        parts = (nn.Conv2d(inputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs, affine=True), nn.LeakyReLU(0.1))
        return nn.Sequential(*parts, nn.Conv2d(outputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.1))

    class Outline(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([block(3, 24), block(24, 64), block(64, 128), block(128, 192)])
            self.up = nn.ModuleList([block(320, 128), block(192, 64), block(88, 24)])
            self.out = nn.Conv2d(24, 5, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for place, part in enumerate(self.down):
                x = part(nn.functional.max_pool2d(x, 2) if place else x)
                kept.append(x)
            for part, skip in zip(self.up, reversed(kept[:-1]), strict=True):
                x = part(torch.cat([nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear"), skip], 1))
            return self.out(x)

    return Outline().eval(), image(96)


def tagger() -> Made:
    """A tagger of words: two recurrent layers in both directions."""

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(7000, 128)
            self.memory = nn.LSTM(128, 112, num_layers=2, bidirectional=True, batch_first=True)
            self.out = nn.Linear(224, 17)

        def forward(self, x: Any) -> Any:
            return self.out(self.memory(self.words(x))[0])

    return Tagger().eval(), (torch.randint(0, 7000, (1, 24)),)


def conformer() -> Made:
    """An encoder of speech: attention and gated depthwise convolutions between two halves of a perceptron."""

    class Half(nn.Sequential):
        def __init__(self, width: int) -> None:
            super().__init__(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    class Layer(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads, self.one, self.two = heads, Half(width), Half(width)
            self.norm, self.all, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.before, self.gates = nn.LayerNorm(width), nn.Conv1d(width, 2 * width, 1)
            self.depthwise = nn.Conv1d(width, width, 15, padding=7, groups=width)
            self.batch, self.back, self.last = nn.BatchNorm1d(width), nn.Conv1d(width, width, 1), nn.LayerNorm(width)

        def forward(self, x: Any) -> Any:
            x = x + 0.5 * self.one(x)
            split = [each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in self.all(self.norm(x)).chunk(3, 2)]
            x = x + self.out(nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
            gated = nn.functional.glu(self.gates(self.before(x).transpose(1, 2)), 1)
            x = x + self.back(nn.functional.silu(self.batch(self.depthwise(gated)))).transpose(1, 2)
            return self.last(x + 0.5 * self.two(x))

    class Conformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = nn.Sequential(nn.Conv2d(1, 64, 3, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 2), nn.ReLU())
            self.narrow = nn.Linear(64 * 19, 144)
            self.body, self.out = nn.Sequential(*(Layer(144, 4) for _ in range(4))), nn.Linear(144, 64)

        def forward(self, x: Any) -> Any:
            return self.out(self.body(self.narrow(self.front(x).transpose(1, 2).flatten(2))))

    return Conformer().eval(), (torch.randn(1, 1, 200, 80),)


def detector() -> Made:
    """A detector: stages that join their halves, pooling at three sizes, features of two levels, boxes and scores."""

    def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1) -> Any:
        made = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        return nn.Sequential(made, nn.BatchNorm2d(outputs), nn.SiLU())

    class Stage(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            half = outputs // 2
            self.one, self.two = conv(inputs, outputs), nn.Sequential(conv(half, half, 3), conv(half, half, 3))
            self.out = conv(outputs + half, outputs)

        def forward(self, x: Any) -> Any:
            first, second = self.one(x).chunk(2, 1)
            return self.out(torch.cat([first, second, second + self.two(second)], 1))

    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), Stage(32, 32), conv(32, 64, 3, 2), Stage(64, 64))
            self.mid, self.high = nn.Sequential(conv(64, 128, 3, 2), Stage(128, 128)), conv(128, 192, 3, 2)
            self.narrow, self.wide = conv(192, 96), conv(384, 192)
            self.join, self.down, self.last = Stage(320, 128), conv(128, 128, 3, 2), Stage(320, 192)
            self.heads = nn.ModuleList([nn.Conv2d(128, 24, 1), nn.Conv2d(192, 24, 1)])

        def forward(self, x: Any) -> Any:
            mid = self.mid(self.low(x))
            high, seen = self.narrow(self.high(mid)), []
            for _ in range(4):
                seen.append(high)
                high = nn.functional.max_pool2d(high, 5, 1, 2)
            high = self.wide(torch.cat(seen, 1))
            mid = self.join(torch.cat([nn.functional.interpolate(high, scale_factor=2.0), mid], 1))
            high = self.last(torch.cat([self.down(mid), high], 1))
            found = [head(each).flatten(2) for head, each in zip(self.heads, (mid, high), strict=True)]
            boxes, scores = torch.cat(found, 2).split((4, 20), 1)
            return torch.cat([boxes, scores.sigmoid()], 1)

    return Detector().eval(), image(192)


def forecast() -> Made:
    """A forecaster of series: causal dilated convolutions with residuals, the last step alone is read."""

    class Layer(nn.Module):
        def __init__(self, inputs: int, width: int, dilation: int) -> None:
            super().__init__()
            self.reach = 2 * dilation
            self.one = nn.Conv1d(inputs, width, 3, dilation=dilation)
            self.two = nn.Conv1d(width, width, 3, dilation=dilation)
            self.skip = nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()

        def forward(self, x: Any) -> Any:
            seen = self.one(nn.functional.pad(x, (self.reach, 0))).relu()
            seen = self.two(nn.functional.pad(seen, (self.reach, 0))).relu()
            return (seen + self.skip(x)).relu()

    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = (16, 96, 96, 192, 192, 256)
            self.body = nn.Sequential(*(Layer(i, o, 2**at) for at, (i, o) in enumerate(pairwise(sizes))))
            self.out = nn.Linear(256, 48)

        def forward(self, x: Any) -> Any:
            return self.out(self.body(x)[:, :, -1])

    return Forecast().eval(), (torch.randn(1, 16, 168),)


def separable() -> Made:
    """Inverted residuals, with attention of linear cost between patches."""
    from transformers import MobileViTV2Config, MobileViTV2ForImageClassification

    config = MobileViTV2Config(image_size=128, width_multiplier=0.75, num_labels=60)
    return First(MobileViTV2ForImageClassification(config), "logits"), image(128)


def pyramid() -> Made:
    """Four stages of attention whose keys are fewer, over patches that are joined."""
    from transformers import PvtConfig, PvtForImageClassification

    config = PvtConfig(
        image_size=128, depths=[1, 1, 2, 1], hidden_sizes=[32, 64, 128, 192], num_attention_heads=[1, 2, 4, 6],
        mlp_ratios=[4, 4, 4, 4], num_labels=40,
    )  # fmt: skip
    return First(PvtForImageClassification(config), "logits"), image(128)


def narrowed() -> Made:
    """An encoder of words whose layers narrow before they attend."""
    from transformers import MobileBertConfig, MobileBertModel

    config = MobileBertConfig(
        vocab_size=8000, hidden_size=256, embedding_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=256,
        intra_bottleneck_size=96, true_hidden_size=96, max_position_embeddings=96,
    )  # fmt: skip
    return encoder(MobileBertModel(config), 8000, 64)


UNSEEN: dict[str, Any] = {
    "outline": outline, "tagger": tagger, "conformer": conformer, "detector": detector, "forecast": forecast,
    "separable": separable, "pyramid": pyramid, "narrowed": narrowed,
}  # fmt: skip
"""Name → a factory of a module with random weights, and its example inputs."""
