"""A second distribution adds a target by entry point, and packages with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.cli.main import run
from sdk.errors import BadInput, Missing, SdkError
from sdk.lowering.discovery import find_target, list_targets, ready_target, target_entries

PLUGIN = Path(__file__).parent / "plugin" / "bitbox.py"


def install(site: Path, name: str, points: dict[str, str]) -> None:
    """Put a distribution with entry points into the folder `site`, as an installer would."""
    info = site / f"{name}-0.3.dist-info"
    info.mkdir(parents=True)
    shutil.copy(PLUGIN, site)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    listed = "".join(f"{point} = {value}\n" for point, value in points.items())
    (info / "entry_points.txt").write_text(f"[sdk.targets]\n{listed}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "bitbox", raising=False)
    return folder


def test_it_is_found_and_listed(site: Path) -> None:
    install(site, "bitbox", {"bitbox": "bitbox:TARGET"})
    assert find_target("bitbox").artifact == "model.bitbox"
    assert {"bitbox", "null"} <= {entry.name for entry in target_entries()}
    assert "bitbox 0.3" in next(entry.origin for entry in target_entries() if entry.name == "bitbox")


def test_it_packages_and_verifies_in_a_process_of_its_own(site: Path, app: Path) -> None:
    install(site, "bitbox", {"bitbox": "bitbox:TARGET"})
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "sdk.cli"]
    args = ["package", "--device", "pixel8", "--target", "bitbox", "--max-size", "60kB", "--out", "made", "--json"]
    done = subprocess.run([*command, *args], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["bundles"][0]["manifest"]
    assert manifest["target"] == "bitbox"
    assert manifest["artifact"]["path"] == "model.bitbox"
    assert {layer["realised"] for layer in manifest["layers"]} <= {"fp32", "int8_channel"}
    assert manifest["ops"]["delegated"]["linear"] == 2 and not manifest["ops"]["outside"]
    verified = subprocess.run([*command, "verify", "made"], env=env, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr


def test_a_name_that_is_taken_is_refused(site: Path) -> None:
    install(site, "bitbox", {"null": "bitbox:TARGET"})
    with pytest.raises(SdkError, match=r"two targets are called 'null': targets\.null and bitbox 0\.3"):
        find_target("null")


@pytest.mark.parametrize(
    ("point", "value", "words"),
    [
        ("broken", "no_such_module:TARGET", "cannot be imported: ModuleNotFoundError"),
        ("broken", "bitbox:NOTHING", "cannot be imported: AttributeError"),
        ("broken", "bitbox:TARGET", "calls itself 'bitbox'"),
        ("bitbox", "bitbox:BitboxTarget", "it is a class"),
        ("broken", "json:dumps", "it lacks name, artifact"),
    ],
)
def test_a_broken_target_is_shown_and_leaves_the_others(
    site: Path, capsys: pytest.CaptureFixture[str], point: str, value: str, words: str
) -> None:
    install(site, "bitbox", {point: value})
    with pytest.raises(SdkError, match="target"):
        list_targets()
    with pytest.raises(SdkError, match=words):
        find_target(point)
    assert find_target("null").name == "null"
    assert run(["targets"]) == 1
    shown = capsys.readouterr()
    assert words in shown.err
    assert "null" in shown.out


def test_a_missing_toolchain_is_said_with_the_mend(site: Path, app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "bitbox", {"absent": "bitbox:ABSENT"})
    with pytest.raises(Missing, match=r"absent.*bitbox-compiler.*pip install bitbox-compiler"):
        ready_target("absent")
    assert run(["package", "--target", "absent", "--out", "made"]) == 3
    assert "pip install bitbox-compiler" in capsys.readouterr().err
    assert not (app / "made").exists()


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'null'"):
        find_target("nul")
