"""The project file: strict, relative to itself, and written with comments by `sdk init`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk.config import Project, load_project, template
from sdk.devices.reading import parse_model
from sdk.errors import BadInput


def test_without_a_file_everything_is_open(tmp_path: Path) -> None:
    assert load_project(None, tmp_path) == Project()


def test_the_app_of_the_tests(app: Path) -> None:
    project = load_project(None)
    assert project.model == "model.py:net"
    assert project.budgets.max_size == 30_000
    assert project.devices == ("host",)
    assert project.target == ("null",)


def test_paths_are_relative_to_the_file(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (app / "sdk.yaml").write_text(
        "model: nets/model.py:net\ncalibration: pkg.mod:samples\nmetric: metrics.py:metric\nout: dist/app\n"
    )
    monkeypatch.chdir(app.parent)
    for path in (Path("app"), Path("app/sdk.yaml")):
        project = load_project(path)
        assert project.model == "app/nets/model.py:net"
        assert project.calibration == "pkg.mod:samples"
        assert project.metric == "app/metrics.py:metric"
        assert project.out == "app/dist/app"


def test_directories_are_moved_and_hub_ids_are_not(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (app / "weights" / "bert").mkdir(parents=True)
    monkeypatch.chdir(app.parent)
    for model, moved in (("weights/bert", "app/weights/bert"), ("org/bert", "org/bert"), ("net.pt2", "app/net.pt2")):
        (app / "sdk.yaml").write_text(f"model: {model}\n")
        assert load_project(Path("app")).model == moved


@pytest.mark.parametrize("given", [{}, {"max_size": "12MB", "calibration": "data.py:photos", "metric": "m.py:top1"}])
def test_the_template_is_valid(given: dict[str, str]) -> None:
    project = parse_model(template(**given), Project, "sdk.yaml")
    assert project.model == "model.py:factory"
    assert project.budgets.max_size == (12_000_000 if given else None)
    assert (project.metric is None) is (not given)


def test_every_key_is_in_the_template() -> None:
    text = template()
    assert all(f"{key}:" in text for key in Project.model_fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modle: x", "modle: is an unknown key: did you mean 'model'?"),
        ("budgets: {maxsize: 1MB}", "did you mean 'max_size'?"),
        ("budgets: {max_size: 12M}", "ambiguous"),
        ("budgets: {max_loss: -1}", "max_loss"),
        ("budgets: {max_loss: .nan}", "max_loss"),
        ("loss: accuracy", "loss"),
        ("calibration: data.py", "file.py:function"),
        ("devices: []", "devices"),
        ("trust: 'yes'", "trust"),
        ("model: 3", "model"),
        ("model: a\nmodel: b", "twice"),
        ("[]", "not a YAML mapping"),
    ],
)
def test_mistakes_are_named_with_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "sdk.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"sdk\.yaml: ") as caught:
        load_project(tmp_path / "sdk.yaml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
