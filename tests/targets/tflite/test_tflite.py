"""The LiteRT target on small models: exact codes in the file, parity, price, corrupt files, same bytes twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("litert_torch")

from sdk.errors import CheckFailed, LoweringError
from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.schemes.catalogue import scheme_named
from sdk.sensitivity.ranges import calibrate_ranges
from targets.tflite import TARGET
from targets.tflite.checks import checked

ALL = ["fp32", "fp16", "int8_channel", "int8_channel_dynamic", "int4_channel_dynamic", "int4_g32_dynamic",
       "int4_channel", "int2_channel", "int4_g32", "int2_channel_dynamic"]


class Mixed(nn.Module):
    """Ids and an image in; an embedding tied to the head, a norm in front of a linear, 1x1 and other convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.lookup = nn.Embedding(96, 64, padding_idx=0)
        self.norm = nn.LayerNorm(64)
        self.mix = nn.Linear(64, 64)
        self.head = nn.Linear(64, 96, bias=False)
        self.head.weight = self.lookup.weight
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.wise = nn.Conv2d(32, 64, 1)
        self.depth = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.up = nn.ConvTranspose2d(64, 4, 3, stride=2, padding=1, output_padding=1)

    def forward(self, ids: torch.Tensor, image: torch.Tensor) -> Any:
        features = self.mix(self.norm(self.lookup(ids))).relu()
        picture = self.depth(self.wise(self.stem((image - 0.5) / 0.25)).relu())
        return {"tokens": self.head(features), "picture": self.up(picture), "best": features.argmax(-1)}


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    module = Mixed().eval()
    with torch.no_grad():
        module.norm.weight.uniform_(0.5, 2)
        module.lookup.weight[0] = 0
    return load_model(module, (torch.randint(0, 96, (1, 12)), torch.rand(1, 3, 16, 16)))


def plan(model: Any, wanted: dict[str, str]) -> Any:
    return quantize(model, {name: scheme_named(scheme) for name, scheme in wanted.items()})


def by_kind(model: Any, table: dict[str, str]) -> dict[str, str]:
    return {layer.name: table[layer.kind] for layer in model.inventory.layers if layer.kind in table}


MIXES = {
    "float": {},
    "weights": {k: "int8_channel" for k in ("linear", "conv2d", "depthwise", "conv_transpose2d", "embedding")},
    "dynamic": {k: "int8_channel_dynamic" for k in ("linear", "conv2d", "depthwise", "conv_transpose2d")},
    "narrow": {"linear": "int4_g32_dynamic", "embedding": "int4_channel", "conv2d": "int4_channel", "depthwise": "int4_channel"},
    "halves": {k: "fp16" for k in ("linear", "conv2d", "depthwise", "conv_transpose2d", "embedding")},
    "two": {"linear": "int2_channel_dynamic", "embedding": "int2_channel", "conv2d": "int2_channel"},
    "blocks": {"embedding": "int4_g32", "linear": "int4_channel_dynamic"},
}


@pytest.mark.parametrize("mix", MIXES)
def test_the_file_computes_as_the_quantized_model_and_costs_what_was_said(model: Any, mix: str, tmp_path: Path) -> None:
    quantized = plan(model, by_kind(model, MIXES[mix]))
    path = tmp_path / TARGET.artifact
    sites = TARGET.lower(quantized, path, None, lambda _: None)
    planned = {name: scheme.name for name, scheme in quantized.schemes.items()}
    assert {name: found.scheme for name, found in TARGET.realised(path, sites).items()} == planned
    got = TARGET.open(path).run([tensor.numpy() for tensor in model.example])
    for a, b, spec in zip(got, TARGET.reference(quantized)(*model.example), model.outputs, strict=True):
        assert a.dtype == np.dtype(spec.dtype) and a.shape == spec.shape
        assert np.linalg.norm(a - b.numpy()) <= 1e-4 * max(np.linalg.norm(b.numpy()), 1)
    placed = TARGET.placement(path)
    operators = checked(path).subgraphs[0].operators
    assert sum(placed.delegated.values()) + sum(placed.outside.values()) == len(operators)
    assert placed.outside["ARG_MAX"] == 1 and placed.delegates >= 1
    prices = TARGET.price(model, {layer.name: [scheme_named(s) for s in ALL] for layer in model.inventory.layers}, None)
    said = prices.base + sum(prices.layers[layer.name][planned.get(layer.name, "fp32")] for layer in model.inventory.layers)
    assert abs(said / path.stat().st_size - 1) < 0.015


def off(quantized: Any, path: Path) -> float:
    """How far the finished file's output is from the torch model's with the same quantization, relative."""
    TARGET.lower(quantized, path, None, lambda text: None)
    example = quantized.model.example
    (got,) = TARGET.open(path).run([example[0].numpy()])
    want = TARGET.reference(quantized)(*example)[0].numpy()
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


class Residual(nn.Module):
    """A linear whose result is added to what another linear makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.inner, self.leave = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        return self.leave(x + self.inner(x).relu())


def test_a_bias_is_not_moved_through_the_linear_behind_it(tmp_path: Path) -> None:
    """Its activations would be quantized without that bias, 1e-2 off."""
    torch.manual_seed(2)
    model = load_model(Residual().eval(), (torch.randn(1, 64),))
    quantized = plan(model, dict.fromkeys(("enter", "inner", "leave"), "int2_channel_dynamic"))
    assert off(quantized, tmp_path / "model.tflite") <= 1e-5


class Expanded(nn.Module):
    """Attention that is linear in the positions, as MobileViTV2 has it: one context for all of them, expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(8, 17, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.enter(x).split([1, 8, 8], 1)
        context = (key * query.softmax(-1)).sum(-1, keepdim=True)
        return self.leave(value.relu() * context.expand_as(value))


def test_what_is_expanded_between_convolutions_keeps_its_layout(tmp_path: Path) -> None:
    """The converter refused it: it leaves the sizes in the old order."""
    torch.manual_seed(5)
    model = load_model(Expanded().eval(), (torch.randn(1, 8, 6, 10),))
    quantized = plan(model, dict.fromkeys(("enter", "leave"), "int8_channel"))
    assert off(quantized, tmp_path / "model.tflite") <= 1e-5


class Counted(nn.Module):
    """Positions that are counted by a mask, from the row behind the padding's on, as RoBERTa has them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions, self.head = nn.Embedding(96, 32), nn.Embedding(20, 32), nn.Linear(32, 8)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        positions = torch.cumsum(ids.ne(1).int(), 1) + 1
        return self.head(self.words(ids) + self.positions(positions))


def test_rows_of_a_lookup_stay_integers(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = load_model(Counted().eval(), (torch.randint(2, 96, (1, 12)),))
    quantized = plan(model, dict.fromkeys(("words", "positions", "head"), "fp32"))
    assert off(quantized, tmp_path / "model.tflite") <= 1e-5


class Rectified(nn.Module):
    """Linears whose results are rectified and scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 128)
        self.slopes = nn.PReLU(128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.slopes(self.first(x))
        x = self.second(x)
        x = torch.cat([x.relu(), (-x.view(8, 16)).relu().view(1, 128)], 1)[:, 64:192]
        x = self.third(x)
        return x.relu() + 0.5 * x


def test_a_linear_that_is_rectified_and_scaled_is_written_once(tmp_path: Path) -> None:
    """The converter would write it again with the factor in its weight, in floats."""
    torch.manual_seed(3)
    module = Rectified().eval()
    nn.init.normal_(module.slopes.weight)
    model = load_model(module, (torch.randn(1, 64),))
    quantized = plan(model, dict.fromkeys(("first", "second", "third"), "int8_channel_dynamic"))
    assert off(quantized, tmp_path / "model.tflite") <= 1e-5
    assert (tmp_path / "model.tflite").stat().st_size < 64 * 128 + 2 * 128 * 128 + 12_000


def test_the_file_holds_exactly_the_plans_codes_and_scales(model: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    quantized = plan(model, by_kind(model, MIXES["dynamic"]))
    path = tmp_path / TARGET.artifact
    sites = TARGET.lower(quantized, path, None, lambda _: None)
    interpreter = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    details = {d["name"]: d for d in interpreter.get_tensor_details()}
    found = details[sites["stem"]]
    grid = quantized.grids["stem"][0]
    assert np.array_equal(interpreter.get_tensor(found["index"]), grid.codes.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(found["quantization_parameters"]["scales"], grid.scale.reshape(-1).numpy())


def test_inputs_keep_their_names_and_dtypes(model: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / TARGET.artifact
    TARGET.lower(plan(model, {}), path, None, lambda _: None)
    details = Interpreter(model_path=str(path)).get_signature_runner().get_input_details()
    assert {name: np.dtype(d["dtype"]).name for name, d in details.items()} == {"ids": "int64", "image": "float32"}


def test_what_a_layer_cannot_hold_has_no_price_and_is_refused(model: Any, tmp_path: Path) -> None:
    narrow = scheme_named("int4_channel_dynamic")
    prices = TARGET.price(model, {name: [narrow] for name in ("stem", "wise")}, None)
    assert "int4_channel_dynamic" in prices.layers["wise"]
    assert not prices.layers["stem"]
    with pytest.raises(LoweringError, match="stem"):
        TARGET.lower(plan(model, {"stem": "int4_channel_dynamic"}), tmp_path / "x.tflite", None, lambda _: None)


def test_corrupt_files_are_refused(model: Any, tmp_path: Path) -> None:
    path = tmp_path / TARGET.artifact
    TARGET.lower(plan(model, by_kind(model, MIXES["weights"])), path, None, lambda _: None)
    good = path.read_bytes()
    for bad in (b"", b"not a model at all", good[: len(good) // 2], good[:8] + b"\xff" * 64 + good[72:]):
        path.write_bytes(bad)
        with pytest.raises(CheckFailed):
            TARGET.open(path)


def test_the_folder_imports_no_toolchain() -> None:
    code = "import sys, targets.tflite as t; t.TARGET.capabilities(); t.TARGET.toolchain(); " \
           "print([m for m in ('torch', 'numpy', 'litert_torch', 'ai_edge_litert', 'ai_edge_quantizer') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


SAME = """
import hashlib, pathlib, sys, torch
from sdk.models.load import load_model
from sdk.models.samples import take_samples
from sdk.quantize import quantize
from sdk.schemes.catalogue import scheme_named
from sdk.sensitivity.ranges import calibrate_ranges
from targets.tflite import TARGET
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8)).eval()
model = load_model(module, (torch.rand(1, 64),))
schemes = {"0": scheme_named("int4_g32_dynamic"), "2": scheme_named("int8_channel")}
path = pathlib.Path(sys.argv[1])
TARGET.lower(quantize(model, schemes), path, None, lambda _: None)
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    found = {
        subprocess.run([sys.executable, "-c", SAME, str(tmp_path / f"{i}.tflite")], capture_output=True, text=True, check=True)
        .stdout.split()[-1]
        for i in range(2)
    }
    assert len(found) == 1


class Scaled(nn.Module):
    """A branch with a factor per channel (layer scale), which the converter folds into the last weight."""

    def __init__(self, factors: torch.Tensor) -> None:
        super().__init__()
        self.wide, self.narrow, self.factors = nn.Linear(64, 128), nn.Linear(128, 64), nn.Parameter(factors)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.wide(x).relu()) * self.factors


@pytest.mark.parametrize("scheme", ["int8_channel", "int8_channel_dynamic", "int8_channel_static", "int4_g32_dynamic", "fp16"])
@pytest.mark.parametrize("least", [-0.5, 0.001])
def test_factors_of_any_sign_are_folded(scheme: str, least: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    factors = torch.linspace(least, -2 * least if least < 0 else 2 * least, 64)
    factors[:3] = 0
    model = load_model(Scaled(factors).eval(), (torch.randn(4, 64),))
    static = model.inventory.layers if scheme.endswith("static") else ()
    samples = take_samples(model, [(torch.randn(4, 64),) for _ in range(8)], 8)
    quantized = quantize(
        model, {layer.name: scheme_named(scheme) for layer in model.inventory.layers}, calibrate_ranges(model, static, samples)
    )
    path = tmp_path / "model.tflite"
    TARGET.lower(quantized, path, None, lambda _: None)
    image = torch.randn(4, 64)
    found = TARGET.open(path).run([image.numpy()])[0]
    wanted = model.module()(image)[0].detach().numpy()
    assert np.all(found[:, :3] == 0)
    assert np.linalg.norm(found - wanted) <= {"fp16": 2e-3, "int4_g32_dynamic": 0.2}.get(scheme, 0.04) * np.linalg.norm(wanted)


def test_groups_whose_scales_vanish_keep_the_least(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load_model(Scaled(torch.full((64,), 1e-8)).eval(), (torch.randn(4, 64),))
    quantized = plan(model, by_kind(model, {"linear": "int4_g32_dynamic"}))
    TARGET.lower(quantized, tmp_path / "model.tflite", None, lambda _: None)
    assert np.abs(TARGET.open(tmp_path / "model.tflite").run([torch.randn(4, 64).numpy()])[0]).max() < 1e-4
