"""Corrupt packages: every one is a CheckFailed, or runs; never another exception."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sdk.errors import CheckFailed, SdkError
from sdk.lowering import Quantized
from targets.coreml import TARGET

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
Built = tuple[Quantized, Path, dict[str, str]]


def _use(path: Path, built: Built) -> None:
    TARGET.realised(path, built[2])
    TARGET.open(path).run([x.numpy() for x in built[0].model.example])


def _cut(file: str, kept: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = (path / file).read_bytes()
        (path / file).write_bytes(data[: int(len(data) * kept)])

    return damage


def _replaced(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda path: (path / file).write_bytes(data) and None


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no manifest": lambda p: (p / "Manifest.json").unlink(),
    "empty manifest": _replaced("Manifest.json", b"{}"),
    "manifest is no JSON": _replaced("Manifest.json", b"\xff\xfe"),
    "no model": lambda p: (p / MODEL).unlink(),
    "model is text": _replaced(MODEL, b"not a protobuf at all"),
    "empty model": _replaced(MODEL, b""),
    "model cut in half": _cut(MODEL, 0.5),
    "no weights": lambda p: (p / WEIGHTS).unlink(),
    "weights cut in half": _cut(WEIGHTS, 0.5),
    "weights cut by a little": _cut(WEIGHTS, 0.99),
    "empty weights": _replaced(WEIGHTS, b""),
    "weights of zeros": _replaced(WEIGHTS, bytes(100_000)),
    "no package": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_damage_is_found(package: Built, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.mlpackage"
    shutil.copytree(package[1], path)
    DAMAGES[damage](path)
    with pytest.raises(CheckFailed):
        _use(path, package)


@pytest.mark.parametrize("file", [MODEL, WEIGHTS, "Manifest.json"])
def test_flipped_bytes_never_crash(package: Built, tmp_path: Path, file: str) -> None:
    pick = random.Random(0)
    path = tmp_path / "flipped.mlpackage"
    shutil.copytree(package[1], path)
    data = (path / file).read_bytes()
    for _ in range(60):
        flipped = bytearray(data)
        flipped[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        (path / file).write_bytes(flipped)
        try:
            _use(path, package)
        except SdkError:
            continue
