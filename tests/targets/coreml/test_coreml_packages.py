"""Finished packages: parity, realised schemes, exact prices, equal bytes, names and dtypes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sdk.errors import LoweringError
from sdk.lowering import Quantized
from sdk.models import Model
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import scheme_named
from targets.coreml import TARGET

Mix = Callable[..., Quantized]


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def error_of(quantized: Quantized, path: Path) -> float:
    got = TARGET.open(path).run([x.numpy() for x in quantized.model.example])
    expected = TARGET.reference(quantized)(*quantized.model.example)
    for array, spec in zip(got, quantized.model.outputs, strict=True):
        assert (array.dtype.name, array.shape) == (spec.dtype, spec.shape)
    pairs = [(torch.from_numpy(a).float(), b.float()) for a, b in zip(got, expected, strict=True)]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


@pytest.mark.parametrize(("kind", "min_os"), [
    ("photo", None), ("photo", 16.0), ("text", None), pytest.param("text", 16.0, marks=pytest.mark.slow),
    pytest.param("sound", None, marks=pytest.mark.slow), pytest.param("sound", 16.0, marks=pytest.mark.slow),
])
def test_a_mixed_plan_is_realised_priced_and_right(
    models: dict[str, Model], mix: Mix, kind: str, min_os: float | None, tmp_path: Path
) -> None:
    model = models[kind]
    for seed in range(3):
        quantized = mix(model, min_os, seed)
        path = tmp_path / f"{seed}.mlpackage"
        sites = TARGET.lower(quantized, path, min_os, lambda _: None)
        realised = TARGET.realised(path, sites)
        planned = {name: scheme.name for name, scheme in quantized.schemes.items()}
        assert {name: found.scheme for name, found in realised.items()} == planned
        prices = TARGET.price(model, {name: [scheme] for name, scheme in quantized.schemes.items()}, min_os)
        predicted = prices.base + sum(prices.layers[name][scheme] for name, scheme in planned.items())
        assert abs(predicted - size_of(path)) <= 0.003 * size_of(path)
        assert error_of(quantized, path) <= 1e-2


def test_the_approximation_of_gelu_is_the_models(tmp_path: Path) -> None:
    from sdk.models.load import load_model

    for kind in ("tanh", "none"):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU(approximate=kind))
        quantized = quantize(load_model(module, (torch.randn(1, 8),)), {"0": scheme_named("fp16")})
        TARGET.lower(quantized, tmp_path / f"{kind}.mlpackage", None, lambda _: None)
        assert error_of(quantized, tmp_path / f"{kind}.mlpackage") <= 1e-5


def test_inputs_and_outputs_keep_their_names(models: dict[str, Model], mix: Mix, tmp_path: Path) -> None:
    from targets.coreml.package import read_spec

    model = models["text"]
    path = tmp_path / TARGET.artifact
    TARGET.lower(mix(model), path, None, lambda _: None)
    description = read_spec(path).description
    assert [f.name for f in description.input] == [s.name for s in model.inputs] == ["ids", "mask"]
    assert [f.name for f in description.output] == [s.name for s in model.outputs]


def test_nobody_here_knows_where_core_ml_runs_an_operator(package: tuple[Quantized, Path, dict[str, str]]) -> None:
    placed = TARGET.placement(package[1])
    assert placed.unknown["conv"] >= 2 and "const" not in placed.unknown
    assert not placed.delegated and not placed.outside and not placed.delegates


def test_coremltools_reads_the_same_weights(package: tuple[Quantized, Path, dict[str, str]]) -> None:
    """The package means to coremltools' own loader what it means to us."""
    import numpy as np

    from targets.coreml.contents import open_contents
    from targets.coreml.toolkit import coremltools
    from targets.coreml.unfolding import decompress

    _, path, sites = package
    ct = coremltools()
    from coremltools.converters.mil.frontend.milproto import load as milproto

    spec = ct.models.utils.load_spec(str(path))
    program = milproto.load(spec, spec.specificationVersion, str(path / "Data/com.apple.CoreML/weights"))
    contents = open_contents(path)
    theirs = {op.outputs[0].name: op for op in program.functions["main"].operations}
    for site in sites.values():
        op = theirs[site]
        value = op.outputs[0].val if op.op_type == "const" else op.materialized_val_inference()
        ours = decompress(contents, contents.producers[site])
        assert np.allclose(value.astype(np.float32), ours, rtol=2e-3, atol=1e-6), site


def test_a_shape_that_cannot_hold_a_scheme_has_no_price_and_is_refused(models: dict[str, Model], tmp_path: Path) -> None:
    model = models["photo"]
    prices = TARGET.price(model, {"stem.0": [scheme_named("int4_g32"), scheme_named("fp16")]}, None)
    assert set(prices.layers["stem.0"]) == {"fp16"}
    quantized = quantize(model, {"point": scheme_named("int4_g32")})
    with pytest.raises(LoweringError, match=r"point.*32 inputs per channel do not make groups of 32"):
        TARGET.lower(quantized, tmp_path / "x.mlpackage", None, lambda _: None)
    with pytest.raises(LoweringError, match="needs iOS 18, the package is for iOS 16"):
        TARGET.lower(quantize(model, {"point": scheme_named("lut3")}), tmp_path / "x.mlpackage", 16.0, lambda _: None)
    assert not (tmp_path / "x.mlpackage").exists()


class _Biased(nn.Module):
    """Attention with a bias by relative position: rows of a table looked up along two axes, heads brought to the front."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.head = nn.Embedding(31, 4), nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(16)
        bias = self.bias(places[None] - places[:, None] + 15).permute(2, 0, 1).unsqueeze(0)
        heads = x.reshape(1, 16, 4, 16).transpose(1, 2)
        mixed = (heads @ heads.transpose(2, 3) / 4 + bias).softmax(-1) @ heads
        return self.head(mixed.transpose(1, 2).reshape(1, 16, 64))


@pytest.mark.parametrize("min_os", [17.0, None])
def test_a_relative_position_bias_is_a_layer_like_others(min_os: float | None, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = load_model(_Biased().eval(), (torch.randn(1, 16, 64),))
    names = ("fp16", "lut4", "lut1", "int8_channel")
    prices = TARGET.price(model, {n: [scheme_named(s) for s in names] for n in ("bias", "head")}, min_os)
    assert set(prices.layers["bias"]) == set(names) - {"int8_channel"}
    for scheme in ("fp16", "lut4", "lut1"):
        quantized = quantize(model, dict.fromkeys(("bias", "head"), scheme_named(scheme)))
        path = tmp_path / f"{scheme}.mlpackage"
        sites = TARGET.lower(quantized, path, min_os, lambda _: None)
        assert {name: found.scheme for name, found in TARGET.realised(path, sites).items()} == {"bias": scheme, "head": scheme}
        assert prices.base + sum(prices.layers[n][scheme] for n in ("bias", "head")) == pytest.approx(size_of(path), abs=64)
        assert error_of(quantized, path) <= 1e-2
    with pytest.raises(LoweringError, match="looked up along several axes"):
        TARGET.lower(quantize(model, {"bias": scheme_named("int8_channel")}), tmp_path / "x.mlpackage", min_os, lambda _: None)


class _Placed(nn.Module):
    """Positions looked up for a batch of one, as in many text encoders."""

    def __init__(self) -> None:
        super().__init__()
        self.places, self.head = nn.Embedding(16, 64), nn.Linear(64, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.head(x + self.places(torch.arange(12)[None]))
        return made


def test_positions_of_a_batch_of_one_may_have_scales(tmp_path: Path) -> None:
    model = load_model(_Placed().eval(), (torch.randn(1, 12, 64),))
    for scheme in ("int8_channel", "int4_g32", "lut4_scaled"):
        quantized = quantize(model, dict.fromkeys(("places", "head"), scheme_named(scheme)))
        path = tmp_path / f"{scheme}.mlpackage"
        sites = TARGET.lower(quantized, path, None, lambda _: None)
        assert {name: found.scheme for name, found in TARGET.realised(path, sites).items()} == dict.fromkeys(sites, scheme)
        assert error_of(quantized, path) <= 1e-2


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x)

    model = load_model(Odd(), (torch.randn(3, 3),))
    with pytest.raises(LoweringError, match="svd"):
        TARGET.lower(Quantized(model, {}, {}, {}), tmp_path / "x.mlpackage", None, lambda _: None)


HASHES = """
import hashlib, sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from conftest import _example, mixed
from sdk.models.load import load_model
from targets.coreml import TARGET
torch.set_num_threads(1)
for kind in sys.argv[3:]:
    path = Path(sys.argv[2]) / kind
    model = load_model(*_example(kind))
    TARGET.lower(mixed(model), path, None, lambda _: None)
    for file in sorted(path.rglob("*")):
        if file.is_file():
            print(kind, file.relative_to(path), hashlib.sha256(file.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    seen = []
    for seed, order in (("1", ["photo", "text"]), ("2", ["text", "photo"])):
        folder = tmp_path / seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", HASHES, here, str(folder), *order], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        seen.append(sorted(done.stdout.splitlines()))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 6


def test_the_hash_of_a_package_is_its_content(package: tuple[Quantized, Path, dict[str, str]], tmp_path: Path) -> None:
    quantized, path, _ = package
    again = tmp_path / "again.mlpackage"
    TARGET.lower(quantized, again, None, lambda _: None)
    for file in (f for f in path.rglob("*") if f.is_file()):
        other = again / file.relative_to(path)
        assert hashlib.sha256(other.read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.layer(x) * scale
        return made


def test_an_input_without_axes_is_one_number(tmp_path: Path) -> None:
    model = load_model(Scaled(), (torch.randn(1, 8), torch.tensor(0.5)))
    quantized = quantize(model, {"layer": scheme_named("fp16")})
    path = tmp_path / "scaled.mlpackage"
    TARGET.lower(quantized, path, None, lambda _: None)
    got = torch.from_numpy(TARGET.open(path).run([each.numpy() for each in model.example])[0])
    assert torch.allclose(got, TARGET.reference(quantized)(*model.example)[0], atol=1e-2)


class Chained(nn.Module):
    """A recurrent layer on what another one made, and a pool that rounds up on another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRU(5, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.avg_pool2d(nn.functional.avg_pool2d(frames, 2, ceil_mode=True), 2, ceil_mode=True)
        outputs, state = self.first(pooled.squeeze(1))
        made: torch.Tensor = self.second(outputs, state)[0]
        return made


def test_an_operator_that_is_written_out_may_follow_another(tmp_path: Path) -> None:
    model = load_model(Chained().eval(), (torch.randn(1, 1, 7, 18),))
    quantized = quantize(model, dict.fromkeys(("first", "second"), scheme_named("fp16")))
    path = tmp_path / "chained.mlpackage"
    TARGET.lower(quantized, path, None, lambda _: None)
    assert error_of(quantized, path) <= 1e-2


class Patched(nn.Module):
    """Windows of a series, overlapping and not, as forecasters cut it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(16, 8), nn.Linear(4, 8)

    def forward(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.wide(series.unfold(1, 16, 8)), self.narrow(series.unfold(-1, 4, 4))


def test_windows_of_an_axis_are_picked(tmp_path: Path) -> None:
    model = load_model(Patched().eval(), (torch.randn(1, 37, 9),))
    quantized = quantize(model, dict.fromkeys(("wide", "narrow"), scheme_named("fp16")))
    path = tmp_path / "patched.mlpackage"
    TARGET.lower(quantized, path, None, lambda _: None)
    assert error_of(quantized, path) <= 1e-2
