"""Small real models, and one package of each that the tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sdk.lowering import Quantized
from sdk.models import Model
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import all_schemes
from targets.coreml import TARGET


class Photo(nn.Module):
    """A residual network with every kind of convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())
        self.deep = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.point = nn.Conv2d(32, 64, 1)
        self.skip = nn.Conv2d(32, 64, 1)
        self.up = nn.ConvTranspose2d(64, 32, 2, 2)
        self.head = nn.Linear(32, 16)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(image)
        x = self.skip(x) + self.point(nn.functional.hardswish(self.deep(x)))
        up = self.up(nn.functional.max_pool2d(x, 2)).relu()
        return self.head(up.mean((2, 3))).softmax(-1), up


class Text(nn.Module):
    """Tied embedding and head, positions, attention, and a recurrent layer behind."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(200, 64, padding_idx=0)
        self.places = nn.Embedding(32, 64)
        self.block = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
        self.memory = nn.LSTM(64, 64, batch_first=True, bidirectional=True)
        self.narrow = nn.Linear(128, 64)
        self.head = nn.Linear(64, 200, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        x = self.block(x, src_key_padding_mask=mask == 0)
        y, _ = self.memory(x)
        y = self.narrow(y)
        return {"logits": self.head(y), "pooled": y.mean(1)}


class Sound(nn.Module):
    """1-D convolutions, a GRU and an LSTM cell."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv1d(1, 32, 16, 8)
        self.up = nn.ConvTranspose1d(32, 32, 4, 2, 1)
        self.gru = nn.GRU(32, 16, batch_first=True, bidirectional=True)
        self.cell = nn.LSTMCell(32, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, wave: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = nn.functional.gelu(self.up(nn.functional.leaky_relu(self.wide(wave), 0.1)))
        y, _ = self.gru(x.transpose(1, 2))
        h, c = self.cell(y[:, -1], (h, c))
        return self.head(h), h, c


def _example(kind: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    if kind == "photo":
        return Photo().eval(), (torch.randn(1, 3, 16, 16),)
    if kind == "text":
        mask = torch.ones(1, 12, dtype=torch.int64)
        mask[:, 9:] = 0
        return Text().eval(), (torch.randint(1, 200, (1, 12)), mask)
    return Sound().eval(), (torch.randn(1, 1, 64), torch.randn(1, 16), torch.randn(1, 16))


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    torch.set_num_threads(1)
    return {kind: load_model(*_example(kind)) for kind in ("photo", "text", "sound")}


def mixed(model: Model, min_os: float | None = None, seed: int = 0) -> Quantized:
    """The model with a different scheme on every layer, as price offers them."""
    import random

    every = [s for s in all_schemes().values() if s.activations == "float"]
    layers = model.inventory.layers
    offered = TARGET.price(model, {layer.name: every for layer in layers}, min_os).layers
    pick = random.Random(seed)
    chosen = {layer.name: all_schemes()[pick.choice(sorted(offered[layer.name]))] for layer in layers}
    return quantize(model, chosen)


@pytest.fixture(scope="session")
def mix() -> Callable[..., Quantized]:
    return mixed


@pytest.fixture(scope="session")
def package(models: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> tuple[Quantized, Path, dict[str, str]]:
    quantized = mixed(models["photo"])
    path = tmp_path_factory.mktemp("coreml") / TARGET.artifact
    return quantized, path, dict(TARGET.lower(quantized, path, None, lambda _: None))
