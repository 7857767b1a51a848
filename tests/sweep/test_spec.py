"""What a person may write of a sweep, and which cells it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdk.cli.main import run
from sdk.errors import BadInput
from sdk.sweep.cells import make_cells
from sdk.sweep.spec import SweepBudget, SweepModel, read_spec

pytestmark = pytest.mark.usefixtures("quiet")

NET = SweepModel(model="model.py:net", calibration="model.py:samples")
BUDGETS = (SweepBudget(max_size=30_000), SweepBudget(max_loss=0.01), SweepBudget(uniform="q8"))

BAD = {
    "an unknown key": ("models: [{model: a.py:b}]\nbudget: 3\n", "budget"),
    "an ambiguous size": ("budgets: [{max_size: 4M}]\n", "ambiguous unit"),
    "a budget of nothing": ("budgets: [{}]\n", "write max_size, max_loss or uniform"),
    "two sources": ("models: [{model: a.py:b, project: here}]\n", "write either model or project"),
    "a name that is a path": ("models: [{model: a.py:b, name: ../x}]\n", "name"),
    "no jobs": ("jobs: 0\n", "jobs"),
    "no list": ("models: a.py:b\n", "models"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_one_sentence_with_file_and_field(what: str, tmp_path: Path) -> None:
    text, words = BAD[what]
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as said:
        read_spec(file)
    assert str(file) in str(said.value) and words in str(said.value) and "\n" not in str(said.value)


def test_cells_are_the_product_without_twins() -> None:
    cells = make_cells([NET], ("pixel8", "Pixel 8", "host"), ("null", "auto"), BUDGETS)
    assert len(cells) == len({cell.name for cell in cells}) == len({(c.device, c.target, c.budget) for c in cells})
    assert sum(cell.target == "null" for cell in cells) == 6
    assert cells[0].name == "net-pixel8-null-size-30000"
    assert cells[0].command == (
        "sdk package model.py:net --device pixel8 --target null --max-size 30000 --calibration model.py:samples"
    )


def test_the_order_of_devices_changes_no_cell() -> None:
    devices = ("pixel8", "host", "iphone15pro")
    assert set(make_cells([NET], devices, ("null",), BUDGETS)) == set(make_cells([NET], devices[::-1], ("null",), BUDGETS[::-1]))


def test_a_device_that_does_not_run_the_target_is_a_refused_cell() -> None:
    (cell,) = make_cells([NET], ("iphone15pro",), ("tflite",), BUDGETS[:1])
    assert "does not run on iphone15pro" in cell.refused


def test_budgets_of_a_model_replace_those_of_the_sweep() -> None:
    own = SweepModel(model="model.py:net", budgets=(SweepBudget(uniform="q4"),))
    assert [cell.budget.label for cell in make_cells([own], ("host",), ("null",), BUDGETS)] == ["q4"]


def test_a_project_brings_its_model_and_calibration(app: Path) -> None:
    (app / "sweep.yaml").write_text("models: [{project: .}]\n")
    (model,) = read_spec(app / "sweep.yaml").models or ()
    (cell,) = make_cells([model], ("host",), ("null",), BUDGETS[:1])
    assert (cell.subject.model, cell.subject.calibration, cell.subject.name) == ("model.py:net", "model.py:samples", "app")


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "which devices"),
    (["-d", "host"], "which budgets"),
    (["-d", "pixel99", "--max-size", "30kB"], "pixel99"),
    (["-d", "host", "-t", "nul", "--max-size", "30kB"], "null"),
    (["-d", "host", "--uniform", "q9"], "q9"),
    (["-d", "host", "--max-size", "30kB", "--on", "moon"], "local, ray"),
    (["-d", "host", "--max-size", "30kB", "--on", "local://x"], "no address"),
    (["-d", "host", "--max-size", "30kB", "--out", "."], "not a sweep's"),
    (["-d", "host", "--max-size", "30kB", "--out", "model.py/x"], "cannot be written"),
])  # fmt: skip
def test_bad_input_is_exit_code_2_and_writes_nothing(
    arguments: list[str], words: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(app.rglob("*"))
    assert run(["sweep", "-m", "model.py:net", *arguments, "--json"]) == 2
    shown = capsys.readouterr()
    assert words in json.loads(shown.out)["error"] and shown.err.startswith("error: ")
    assert sorted(app.rglob("*")) == before


def test_ray_that_is_absent_is_exit_code_3(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["sweep", "-m", "model.py:net", "-d", "host", "-t", "null", "--max-size", "30kB", "--on", "ray"]) == 3
    assert "pip install 'snugfit[ray]'" in capsys.readouterr().err
