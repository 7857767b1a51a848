"""Every bad input of the table ends with one sentence, its exit code, and nothing left behind."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sdk.cli.main import run

HERE = Path(__file__).parent
TABLE: list[dict[str, Any]] = yaml.safe_load((HERE / "table.yaml").read_text())


def makers() -> Any:
    spec = importlib.util.spec_from_file_location("bad_input_makers", HERE / "makers.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepare(case: dict[str, Any], folder: Path) -> None:
    if "make" in case:
        getattr(makers(), case["make"])(folder)
    for name, text in case.get("files", {}).items():
        (folder / name).write_text(text)
    if "edit" in case:
        name, old, new = case["edit"]
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))


def listing(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def sentences(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


def test_the_table_is_long_enough_and_names_each_case_once() -> None:
    assert len(TABLE) >= 40
    assert len({case["case"] for case in TABLE}) == len(TABLE)
    assert {case["exit"] for case in TABLE} == {1, 2}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("case", TABLE, ids=[case["case"] for case in TABLE])
def test_one_sentence_its_exit_code_and_nothing_left(
    case: dict[str, Any], app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(app))  # `from model import Net` in the table's files
    monkeypatch.delitem(sys.modules, "model", raising=False)
    prepare(case, app)
    before = listing(app)
    code = run(case["run"])
    stderr = capsys.readouterr().err
    said = sentences(stderr)
    assert len(said) == 1, stderr
    assert case["says"] in said[0]
    assert code == case["exit"], said[0]
    assert "Traceback" not in stderr
    assert "unexpected" not in said[0] or case["run"][0] == "verify"
    assert str(app) not in said[0]
    assert listing(app) == before


REAL = ["unknown key", "an ambiguous size", "a size that cannot be met", "an unknown verb", "a .pt2 cut in half"]


@pytest.mark.parametrize("name", REAL)
def test_a_process_of_its_own_says_the_same_also_as_json(name: str, app: Path) -> None:
    case = next(each for each in TABLE if each["case"] == name)
    prepare(case, app)
    before = listing(app)
    done = subprocess.run(
        [sys.executable, "-m", "sdk.cli", *case["run"], "--json"], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == case["exit"], done.stderr
    data = json.loads(done.stdout)
    assert data["exit_code"] == case["exit"]
    assert case["says"] in data["error"] or name == "an unknown verb"
    assert done.stderr.splitlines() == [f"error: {data['error']}"]
    assert ("counter_offer" in data) is (name == "a size that cannot be met")
    assert listing(app) == before


FULL = """
import resource, sys
from sdk.cli.main import run
import torch, sdk.pipeline, safetensors.numpy
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.exit(run(["package", "--out", "made"]))
"""


def test_a_full_disk_is_one_sentence_and_leaves_nothing(app: Path, tmp_path: Path) -> None:
    before = listing(app)
    env = {**os.environ, "SDK_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FULL], capture_output=True, text=True, env=env)
    assert done.returncode == 2, done.stderr
    assert len(sentences(done.stderr)) == 1
    assert "made: the disk is full" in sentences(done.stderr)[0]
    assert listing(app) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere; `/proc` and files stand in for it")
def test_an_unwritable_directory(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "locked").mkdir(mode=0o500)
    assert run(["package", "--out", "locked/made"]) == 2
    assert "locked/made: cannot be written (permission denied)" in capsys.readouterr().err
