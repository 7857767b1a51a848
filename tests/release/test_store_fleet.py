"""A fleet's folder is released with its selector, under the names that the selector says."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from sdk.bundles import dump, open_bundle
from sdk.cli.main import run
from sdk.release.store import read_record

pytestmark = pytest.mark.usefixtures("quiet")

FLEET = """\
max_variants: 2
groups:
  - devices: [pixel8, pixel9]
  - devices: [iphone15pro]
    budgets: {max_size: 24kB}
"""


@pytest.fixture
def fleet(app: Path) -> Path:
    (app / "fleet.yaml").write_text(FLEET)
    assert run(["package", "--fleet", "fleet.yaml", "--out", "fleet"]) == 0
    return app / "fleet"


def test_both_stores_take_a_fleet(fleet: Path, app: Path) -> None:
    selector = json.loads((fleet / "selector.json").read_text())
    artifacts = {variant["id"]: variant["artifact"] for variant in selector["variants"]}
    assert run(["release", "android", "fleet", "--out", "play"]) == 0
    record = read_record(app / "play")
    assert {name for variant in record.variants for name in variant.devices} == {"pixel8", "pixel9"}
    with zipfile.ZipFile(app / "play" / "net.aar") as archive:
        assert json.loads(archive.read("assets/net/selector.json")) == selector
        for variant in record.variants:
            assert archive.read(f"assets/net/{artifacts[variant.folder]}") == (fleet / artifacts[variant.folder]).read_bytes()
    assert run(["release", "ios", "fleet", "--out", "apple"]) == 0
    record = read_record(app / "apple")
    assert [variant.devices for variant in record.variants] == [("iphone15pro",)]
    assert (app / "apple" / "Net" / "models" / artifacts[record.variants[0].folder]).is_file()
    assert (app / "apple" / "Net" / "Selector.swift").is_file()


def test_a_fleet_is_released_by_itself_and_as_it_was_made(
    fleet: Path, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = next(path for path in sorted(fleet.iterdir()) if (path / "manifest.json").is_file())
    shutil.copytree(variant, app / "single")
    assert run(["release", "android", "fleet", "single", "--out", "play"]) == 2
    assert "release it by itself" in capsys.readouterr().err
    manifest = open_bundle(variant).manifest
    (variant / "manifest.json").write_text(dump(manifest.model_copy(update={"command": "other"})))
    assert run(["release", "android", "fleet", "--out", "play"]) == 1
    assert "is not the bundle that fleet.json names" in capsys.readouterr().err
    assert not (app / "play").exists()
