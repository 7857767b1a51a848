"""Models that nobody here had tried, each through the whole way on the target where it once failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import sdk
from sdk.pipeline import verify_bundle
from sdk.progress import SilentReporter

DEVICES = {"executorch": "pixel8", "tflite": "pixel8", "coreml": "iphone15pro"}

Inputs = tuple[torch.Tensor, ...]


class Unet(nn.Module):
    """Pools without a stride, a transposed convolution, a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 64, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(64, 16, 2, 2), nn.Conv2d(32, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        wide = self.down(image).relu()
        deep = self.deep(functional.max_pool2d(wide, 2)).relu()
        result: torch.Tensor = self.out(torch.cat([self.up(deep), wide], 1))
        return result


class Codes(nn.Module):
    """32-bit lookups, and an output of integers among named ones."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(500, 32), nn.Linear(32, 64)

    def forward(self, codes: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.head(self.table(codes).sum(1)), "largest": codes.argmax(1)}


class Copies(nn.Module):
    """Layers that start as copies of one another, and batch norms that follow no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.BatchNorm1d(64)
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(3))
        for layer in self.layers:
            layer.load_state_dict(self.layers[0].state_dict())
        self.leave = nn.BatchNorm1d(64)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        x = self.enter(numbers)
        for layer in self.layers:
            x = torch.tanh(layer(x))
        result: torch.Tensor = self.leave(x)
        return result


class Twins(nn.Module):
    """One network on two inputs, compared by cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 24))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return functional.cosine_similarity(self.net(left), self.net(right))


class Grouped(nn.Module):
    """Transposed convolutions in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.up = nn.Conv2d(3, 64, 3, 2, 1), nn.ConvTranspose2d(64, 64, 4, 2, 1, groups=4)
        self.out = nn.Conv2d(64, 16, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.up(self.enter(image).relu()).relu())
        return result


class Biased(nn.Module):
    """Attention with a learned bias of positions, as T5 and Swin have."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.table = nn.Linear(64, 192), nn.Linear(64, 64), nn.Embedding(15, 4)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.view(1, 8, 4, 16).transpose(1, 2) for part in self.qkv(hidden).chunk(3, -1))
        positions = torch.arange(8)
        bias = self.table(positions[:, None] + positions[None]).permute(2, 0, 1)[None]
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        result: torch.Tensor = self.out(found.transpose(1, 2).contiguous().view(1, 8, 64))
        return result


class Pooled(nn.Module):
    """Attention of a learned query, as SigLIP pools, and a table whose axes are swapped: strides that extents of one hide."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pool = nn.Parameter(torch.randn(1, 1, 64)), nn.MultiheadAttention(64, 4, batch_first=True)
        self.out = nn.Linear(64, 64)
        self.register_buffer("keys", torch.randn(1, 4, 16).transpose(0, 1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        found = self.out(self.pool(self.query.repeat(hidden.shape[0], 1, 1), hidden, hidden)[0])
        return torch.bmm(self.keys, found.view(1, 4, 16).permute(1, 2, 0))


class Enlarged(nn.Module):
    """Tokens that become an image, padded by its mirror image and enlarged by its channels, as super-resolution does."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.conv = nn.Linear(32, 32), nn.Conv2d(32, 16, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        image = self.mix(tokens).transpose(1, 2).view(1, 32, 8, 8)
        return functional.pixel_shuffle(self.conv(functional.pad(image, (1, 1, 1, 1), mode="reflect")), 2)


class Repeated(nn.Module):
    """Looked-up rows whose ends are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.conv = nn.Embedding(500, 32), nn.Conv1d(12, 12, 3)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.conv(functional.pad(self.table(codes), (1, 1), mode="replicate"))
        return result


class Clip(nn.Module):
    """Convolutions over frames: of a few, of each channel for itself, of points; a pool over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 16, (2, 3, 3), (1, 2, 2), padding=(0, 1, 1))
        self.each = nn.Conv3d(16, 16, 3, padding=1, groups=16)
        self.norm, self.point, self.head = nn.BatchNorm3d(16), nn.Conv3d(16, 64, 1), nn.Linear(64, 128)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        seen = self.point(self.norm(self.each(self.stem(clip))).relu())
        result: torch.Tensor = self.head(functional.max_pool3d(seen, 2).mean((2, 3, 4)))
        return result


def _images(*shape: int) -> Callable[[], Inputs]:
    return lambda: (torch.randn(shape),)


CASES: list[tuple[type[nn.Module], Callable[[], Inputs], tuple[str, ...]]] = [
    (Unet, _images(1, 3, 16, 16), ("executorch",)),
    (Codes, lambda: (torch.randint(0, 500, (1, 12), dtype=torch.int32),), ("executorch", "tflite")),
    (Copies, _images(1, 64), ("executorch",)),
    (Twins, lambda: (torch.randn(1, 1, 16, 16), torch.randn(1, 1, 16, 16)), ("coreml",)),
    (Grouped, _images(1, 3, 16, 16), ("executorch",)),
    (Biased, _images(1, 8, 64), ("tflite", "coreml")),
    (Pooled, _images(1, 8, 64), ("executorch",)),
    (Enlarged, _images(1, 64, 32), ("executorch",)),
    (Repeated, lambda: (torch.randint(0, 500, (1, 12)),), ("executorch",)),
    (Clip, lambda: (torch.randn(1, 3, 5, 16, 16),), ("executorch", "tflite", "coreml")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "draw", "target"), [(kind, draw, target) for kind, draw, targets in CASES for target in targets],
    ids=[f"{kind.__name__}-{target}" for kind, _, targets in CASES for target in targets],
)  # fmt: skip
def test_the_whole_way(kind: type[nn.Module], draw: Callable[[], Inputs], target: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    samples = [draw() for _ in range(4)]
    share = 0.8 if kind is Grouped else 0.5  # its grouped transposed convolution stays in float
    budget = int(share * sum(4 * p.numel() for p in module.parameters())) + 8000
    out = tmp_path / "bundle"
    sdk.package(module, device=DEVICES[target], target=target, max_size=budget, calibration=samples, out=out)
    bundle = sdk.open_bundle(out)
    assert bundle.manifest.artifact.bytes <= budget
    assert all(found.ok for found in verify_bundle(out, SilentReporter()))
    _same(module, bundle, samples[-1])


def _same(module: nn.Module, bundle: Any, inputs: Inputs) -> None:
    """The artifact answers as the float model does: names, order, dtypes, and numbers but for the rounding."""
    with torch.no_grad():
        wanted = module(*inputs)
    if isinstance(wanted, dict):
        assert [spec.name for spec in bundle.manifest.model.outputs] == list(wanted)
    named = list(wanted.values()) if isinstance(wanted, dict) else [wanted]
    for got, want in zip(bundle.run(*inputs), (w.numpy() for w in named), strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        assert abs(got - want).max() <= 0.1 * abs(want).max() + 1e-6
