"""Every row of the null target's table is measured again: exact price, realised scheme, parity, same bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from sdk.errors import CheckFailed
from sdk.lowering.discovery import find_target
from sdk.lowering.types import Capability, Quantized, Range
from sdk.models import Layer, Model
from sdk.models.load import load_model
from sdk.quantize import quantize
from sdk.schemes import Scheme, fits, scheme_named
from targets.null.packing import pack, packed_bytes, unpack

TARGET = find_target("null")
ROWS = [row for row in TARGET.capabilities() if row.supported]


class Everything(nn.Module):
    """One layer of every kind, each on its own path, with two inputs and three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 4, groups=16, padding=2)
        self.up = nn.ConvTranspose2d(16, 32, 2, 2)
        self.conv1 = nn.Conv1d(32, 16, 2)
        self.up1 = nn.ConvTranspose1d(16, 32, 2)
        self.head = nn.Linear(256, 64)
        self.words = nn.Embedding(40, 64)
        self.lstm = nn.LSTM(64, 32, batch_first=True)
        self.gru = nn.GRU(32, 32, batch_first=True)

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = torch.relu(self.conv(x))
        y = nn.functional.relu6(self.depthwise(y))
        z = torch.tanh(self.up1(self.conv1(self.up(y).flatten(2))))
        h = self.head(z.flatten(1)[:, :256])
        rows, _ = self.lstm(self.words(ids) + h[:, None])
        return z, self.gru(rows)[0], ids + 1


@cache
def model() -> Model:
    torch.manual_seed(0)
    return load_model(Everything(), (torch.randn(1, 8, 6, 6), torch.randint(0, 40, (1, 5))))


def holds(layer: Layer, scheme: Scheme, row: Capability) -> bool:
    shapes = {model().module().get_parameter(weight).shape for weight in layer.weights}
    return layer.kind in row.kinds and not any(fits(scheme, tuple(s), layer.channel_axis) for s in shapes)


def quantized(schemes: dict[str, Scheme]) -> Quantized:
    ranges = {}
    for layer in model().inventory.layers:
        ranges |= {layer.input: Range(0.02, 3), layer.output: Range(0.03, -5)}
    return quantize(model(), schemes, ranges)


def relative(got: Sequence[numpy.ndarray], wanted: Sequence[torch.Tensor]) -> float:
    return max(
        float(numpy.linalg.norm(a.astype("f8") - b.numpy()) / (numpy.linalg.norm(b.numpy()) + 1e-12))
        for a, b in zip(got, wanted, strict=True)
    )


@pytest.mark.parametrize("name", sorted({row.scheme for row in ROWS}))
def test_a_scheme_is_priced_stored_read_back_and_executed(name: str, tmp_path: Path) -> None:
    scheme = scheme_named(name)
    rows = [row for row in ROWS if row.scheme == name]
    schemes = {
        layer.name: scheme for layer in model().inventory.layers if any(holds(layer, scheme, row) for row in rows)
    }
    assert schemes, "the model has a layer for every scheme"
    path = tmp_path / TARGET.artifact
    prices = TARGET.price(model(), {layer: [scheme] for layer in schemes}, None)
    made = quantized(schemes)
    sites = TARGET.lower(made, path, None, lambda text: None)
    assert prices.base + sum(prices.layers[layer][name] for layer in schemes) == path.stat().st_size
    assert {layer: found.scheme for layer, found in TARGET.realised(path, sites).items()} == dict.fromkeys(schemes, name)
    example = model().example
    got = TARGET.open(path).run([value.numpy() for value in example])
    assert [a.dtype.name for a in got] == [spec.dtype for spec in model().outputs]
    assert [a.shape for a in got] == [spec.shape for spec in model().outputs]
    measured = relative(got, TARGET.reference(made)(*example))
    assert measured <= max(row.relative_error or 0.0 for row in rows)


def test_a_refused_row_says_why() -> None:
    refused = [row for row in TARGET.capabilities() if not row.supported]
    assert refused and all(row.reason for row in refused)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_codes_of_every_width_come_back(bits: int, signed: bool) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    codes = numpy.random.default_rng(0).integers(low, low + (1 << bits), (7, 3)).astype("int16")
    data = pack(codes, bits, signed)
    assert len(data) == packed_bytes((7, 3), bits)
    numpy.testing.assert_array_equal(unpack(data, (7, 3), bits, signed), codes)


LOWER = """
import sys, hashlib
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_null import TARGET, model, quantized
from sdk.schemes import scheme_named
path = Path(sys.argv[1])
TARGET.lower(quantized({"head": scheme_named("int4_g32"), "conv": scheme_named("lut4")}), path, None, lambda t: None)
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    found = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "ignore", "-c", LOWER, str(tmp_path / seed), str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        found.add(done.stdout)
    assert len(found) == 1


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("null") / TARGET.artifact
    TARGET.lower(quantized({"head": scheme_named("int8_channel")}), path, None, lambda text: None)
    return path


def test_a_changed_scheme_is_read_from_the_bytes(artifact: Path, tmp_path: Path) -> None:
    raw = artifact.read_bytes()
    stored = b'"layer":"head","format":"int","dtype":"float32","bits":'
    changed = raw.replace(stored + b"8", stored + b"4")
    assert changed != raw
    (tmp_path / "model.null").write_bytes(changed)
    with pytest.raises(CheckFailed, match="damaged"):
        TARGET.realised(tmp_path / "model.null", {"head": "head.weight"})


def test_a_layer_that_stayed_float_is_seen(artifact: Path) -> None:
    assert TARGET.realised(artifact, {"conv": "conv.weight"})["conv"].scheme == "fp32"
    assert TARGET.realised(artifact, {"none": "none.weight"})["none"].scheme == "nothing"


def test_operators_are_placed_by_the_table(artifact: Path) -> None:
    found = TARGET.placement(artifact)
    assert dict(found.outside) == {"embedding": 1, "gru": 1, "lstm": 1, "slice": 1, "zeros": 3}
    assert found.delegated["conv2d"] == 2 and found.delegates > 1 and not found.unknown


@pytest.mark.parametrize("cut", [0, 10, 30, 500, -1])
def test_a_damaged_file_is_refused(artifact: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "model.null").write_bytes(artifact.read_bytes()[:cut])
    with pytest.raises(CheckFailed, match="not a null artifact or is damaged"):
        TARGET.open(tmp_path / "model.null")


