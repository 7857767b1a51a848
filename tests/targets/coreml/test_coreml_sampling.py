"""`grid_sample` and what surrounds it in deformable attention: modes, grids, and tensors of more axes than Core ML has."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdk.errors import LoweringError
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.coreml import TARGET
from targets.coreml.evaluator.networks import table
from targets.coreml.package import read_spec
from targets.coreml.prepare import prepare
from targets.coreml.program import main_block, walk
from targets.coreml.ranks import within_rank

MODES = [*product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True)),
         *product(("bicubic",), ("zeros", "border"), (False, True))]


TYPES = {10: "float16", 11: "float32"}


class Sampler(nn.Module):
    """Samples an image at points of which a third lies outside, or where an affine map of a grid says."""

    def __init__(self, affine: bool, mode: str, padding: str, corners: bool) -> None:
        super().__init__()
        self.points = nn.Linear(4, 6 if affine else 40)
        self.affine, self.mode, self.padding, self.corners = affine, mode, padding, corners

    def forward(self, image: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        found = self.points(x)
        if self.affine:
            grid = functional.affine_grid(found.view(1, 2, 3), (1, 3, 4, 5), align_corners=self.corners)
        else:
            grid = (1.5 * torch.tanh(2 * found)).view(1, 4, 5, 2)
        return functional.grid_sample(image, grid, self.mode, self.padding, self.corners)


def error_of(module: nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> float:
    model = load_model(module.eval(), example)
    quantized = quantize(model, {layer.name: scheme_named("fp16") for layer in model.inventory.layers})
    TARGET.lower(quantized, path, None, lambda _: None)
    (got,), (expected,) = TARGET.open(path).run([x.numpy() for x in example]), TARGET.reference(quantized)(*example)
    return float((torch.from_numpy(got) - expected).norm() / expected.norm())


@pytest.mark.parametrize(("mode", "padding", "corners"), MODES)
def test_every_mode_computes_what_torch_does(mode: str, padding: str, corners: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = (torch.randn(1, 3, 6, 7), torch.randn(1, 4))
    assert error_of(Sampler(False, mode, padding, corners), example, tmp_path / "a.mlpackage") <= 1e-5


@pytest.mark.parametrize("corners", [False, True])
def test_an_affine_grid_is_written_out(corners: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = (torch.randn(1, 3, 6, 7), torch.randn(1, 4))
    assert error_of(Sampler(True, "bilinear", "zeros", corners), example, tmp_path / "a.mlpackage") <= 1e-5


@pytest.mark.parametrize(("padding", "corners", "row"), [
    ("constant", False, [0, 0, 0, 1, 2, 3, 0, 0, 0]), ("border", False, [1, 1, 1, 1, 2, 3, 3, 3, 3]),
    ("symmetric", False, [3, 2, 1, 1, 2, 3, 3, 2, 1]), ("reflection", True, [2, 3, 2, 1, 2, 3, 2, 1, 2]),
])
def test_paddings_are_those_of_the_specification(padding: str, corners: bool, row: list[int]) -> None:
    places = torch.arange(-3.0, 6.0)
    x = places - 1 if corners else (2 * places + 1) / 3 - 1
    grid = torch.stack([x, torch.zeros_like(x)], -1).view(1, 1, -1, 2)
    got = table()["resample"](torch.tensor([[[[1.0, 2.0, 3.0]]]]), grid, "bilinear", padding, align_corners=torch.tensor(corners))
    assert torch.allclose(got.flatten(), torch.tensor(row, dtype=torch.float32), atol=1e-5)


def test_what_no_operation_samples_is_named() -> None:
    class Volume(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.points = nn.Linear(4, 24)

        def forward(self, image: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return functional.grid_sample(image, torch.tanh(self.points(x)).view(1, 2, 2, 2, 3), align_corners=False)

    with pytest.raises(LoweringError, match=r"no converter for aten\.grid_sampler"):
        prepare(load_model(Volume().eval(), (torch.randn(1, 1, 3, 3, 3), torch.randn(1, 4))))


class Deformable(nn.Module):
    """Deformable attention as detectors have it: points of every query, head and level are a tensor of six axes."""

    def __init__(self, queries: int = 5, heads: int = 2, points: int = 3) -> None:
        super().__init__()
        self.sizes, self.dims = ((4, 6), (2, 3)), (queries, heads, points)
        self.offsets, self.shares = nn.Linear(8, heads * 2 * points * 2), nn.Linear(8, heads * 2 * points)
        self.values = nn.Linear(8, 8)

    def forward(self, queries: torch.Tensor, memory: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        count, heads, points = self.dims
        offsets = self.offsets(queries).view(-1, count, heads, 2, points, 2)
        shares = self.shares(queries).view(-1, count, heads, 2 * points).softmax(-1)
        places = 2 * (boxes[:, :, None, None, None, :2] + offsets / points * boxes[:, :, None, None, None, 2:] * 0.5) - 1
        values, sampled, start = self.values(memory).view(-1, memory.shape[1], heads, 8 // heads), [], 0
        for level, (high, wide) in enumerate(self.sizes):
            part = values[:, start:start + high * wide].flatten(2).transpose(1, 2).reshape(-1, 8 // heads, high, wide)
            grid = places[:, :, :, level].transpose(1, 2).flatten(0, 1)
            sampled.append(functional.grid_sample(part, grid, align_corners=False))
            start += high * wide
        weights = shares.transpose(1, 2).reshape(-1, 1, count, 2 * points)
        return (torch.stack(sampled, -2).flatten(-2) * weights).sum(-1).view(-1, 8, count)


def test_deformable_attention_is_within_core_mls_axes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = (torch.randn(1, 5, 8), torch.randn(1, 30, 8), torch.rand(1, 5, 4))
    assert error_of(Deformable(), example, tmp_path / "a.mlpackage") <= 1e-5


def test_places_are_computed_in_float32_and_the_rest_in_float16(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = (torch.randn(1, 5, 8), torch.randn(1, 30, 8), torch.rand(1, 5, 4))
    error_of(Deformable(), example, tmp_path / "a.mlpackage")
    kinds: dict[str, set[str]] = {}
    for op in walk(main_block(read_spec(tmp_path / "a.mlpackage"))):
        kinds.setdefault(op.type, set()).add(TYPES.get(op.outputs[0].type.tensorType.dataType, "other"))
    assert [kinds[name] for name in ("resample", "add", "sub")] == [{"float32"}] * 3
    assert [kinds[name] for name in ("linear", "softmax", "stack")] == [{"float16"}] * 3


def test_an_output_that_lost_an_axis_keeps_its_place(tmp_path: Path) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.line(x).view(1, 2, 2, 1, 2, 4) + x.view(1, 2, 2, 2, 1, 4)).squeeze(0)

    torch.manual_seed(0)
    assert error_of(Last(), (torch.randn(1, 4, 8),), tmp_path / "a.mlpackage") <= 1e-3


class Wide(nn.Module):
    """Every operator in which tensors of six axes lose one."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        wide = x.view(1, 2, 3, 1, 4, 5)
        joined = torch.cat([wide, torch.relu(wide) * x[:, :, :, None]], -3)
        stacked = torch.stack([joined[:, :, 1], joined[:, :, 2]], 2)
        moved = stacked.transpose(1, -1).permute(0, 2, 1, 3, 5, 4)
        summed = (moved.softmax(2) + moved[:, 1:2, :, :, 1:3].sum((1, 4), keepdim=True)).mean(-1)
        return summed, wide.flatten(2), moved.squeeze(0), stacked[..., 0], x.unsqueeze(4).flatten(0, 2)


def test_axes_are_dropped_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4, 5)
    program = torch.export.export(Wide(), (x,))
    expected = program.module()(x)
    within_rank(program.graph_module.graph)
    program.graph_module.recompile()
    assert max(n.meta["val"].ndim for n in program.graph.nodes if hasattr(n.meta.get("val"), "ndim")) == 5
    assert all(torch.equal(a, b) for a, b in zip(program.module()(x), expected, strict=True))
