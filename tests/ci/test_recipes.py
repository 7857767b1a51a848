"""The CI recipes do what they say: their own shell lines, run in a clean repository as a runner would."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION, JOB, PAGE = ROOT / "ci/github/action.yml", ROOT / "ci/gitlab/gate.yml", ROOT / "docs/ci.md"
FILES = {"bundle", "junit.xml", "gate.sarif", "summary.md"}


def action_step(name: str) -> dict[str, Any]:
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    return next(step for step in steps if step.get("name") == name)


def gitlab_script() -> str:
    return str(yaml.safe_load(JOB.read_text())[".snugfit-gate"]["script"][0])


def test_both_recipes_run_the_same_commands() -> None:
    theirs = [line for line in gitlab_script().splitlines() if line != 'cd "$FOLDER"']
    assert action_step("Package and gate")["run"].splitlines() == theirs


def test_the_action_is_whole() -> None:
    data = yaml.safe_load(ACTION.read_text())
    assert data["runs"]["using"] == "composite"
    for step in data["runs"]["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "what people write reaches the shell as a variable, never as code"
    used = set(re.findall(r"inputs\.(\w+)", ACTION.read_text()))
    assert used == set(data["inputs"])


def test_the_job_is_whole() -> None:
    job = yaml.safe_load(JOB.read_text())[".snugfit-gate"]
    used = set(re.findall(r"\$([A-Z]+)\b", gitlab_script() + " ".join(job["before_script"]))) - {"PWD"}
    assert used == set(job["variables"]) - {"GIT_DEPTH"}
    assert job["artifacts"]["reports"]["junit"] == "$FOLDER/gate/junit.xml"


@pytest.fixture
def repository(tmp_path: Path, job: dict[str, str]) -> Path:
    """A clean checkout of an app in a folder of its repository, with one commit."""
    top = tmp_path / "repository"
    shutil.copytree(ROOT / "tests/cli/app", top / "app", ignore=shutil.ignore_patterns("__pycache__"))
    commit(top, job, "git init -q . &&")
    return top


def commit(top: Path, job: dict[str, str], before: str = "") -> str:
    script = f"{before} git add -A && git commit -q --allow-empty -m change && git rev-parse HEAD"
    done = subprocess.run(["bash", "-c", script], cwd=top, env=job, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def parent(top: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD~1"], cwd=top, capture_output=True, text=True, check=True)
    return done.stdout.strip()


GIVEN = {"device": "host", "target": "null", "folder": "app", "install": ""}


def test_an_unchanged_app_passes_on_github(repository: Path, act: Any, job: dict[str, str]) -> None:
    (repository / "README").write_text("nothing that a model is made of")
    commit(repository, job)
    steps = dict(act(ACTION, repository, GIVEN, parent(repository), job))
    finished = steps["Package and gate"]
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in (repository / "app/gate").iterdir()} == {*FILES, "base", "baseline"}
    assert Path(job["GITHUB_STEP_SUMMARY"]).read_text().startswith("### sdk gate: ✅ passed")


def test_a_regression_fails_on_github_and_the_reports_are_there(repository: Path, act: Any, job: dict[str, str]) -> None:
    model = repository / "app/model.py"
    model.write_text(model.read_text().replace("torch.relu(self.head(y))", "nn.functional.gelu(self.head(y))"))
    commit(repository, job)
    steps = dict(act(ACTION, repository, GIVEN, parent(repository), job))
    finished = steps["Package and gate"]
    assert finished.returncode == 1
    assert "outside_ops 0 → 1, +0 is allowed: gelu +1" in finished.stdout
    assert set(FILES) <= {path.name for path in (repository / "app/gate").iterdir()}
    assert "gelu +1" in Path(job["GITHUB_STEP_SUMMARY"]).read_text()


def test_gitlab_runs_it_too_against_a_stored_bundle(repository: Path, shell: Any, job: dict[str, str]) -> None:
    variables = {"DEVICE": "host", "TARGET": "null", "FOLDER": "app", "BASE": "", "FLAGS": ""}
    first = shell("sdk package --device host --target null --out released", repository / "app", job)
    assert first.returncode == 0, first.stderr
    done = shell(gitlab_script(), repository, job | variables | {"BASELINE": "released"})
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (repository / "app/gate").iterdir()} == FILES


@pytest.fixture
def clone(tmp_path: Path, job: dict[str, str]) -> Path:
    """A clean clone of this repository with an environment at the place where `scripts/setup` makes it."""
    top = tmp_path / "clone"
    script = f"git clone -q --no-hardlinks {ROOT} {top} && cd {top} && git commit -q --allow-empty -m change"
    subprocess.run(["bash", "-c", script], env=job, check=True)
    (top / ".venv").symlink_to(Path(shutil.which("sdk", path=job["PATH"]) or "").parents[1])
    job["PYTHONPATH"] = str(top)
    return top


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)
    assert found
    return textwrap.dedent(found[1])


@pytest.mark.slow
def test_the_page_pasted_into_a_shell_in_a_clean_clone(clone: Path, shell: Any, job: dict[str, str]) -> None:
    lines = block("bash").splitlines()
    assert lines.pop(0) == "bash scripts/setup"
    done = shell("set -e\n" + "\n".join(lines), clone, job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (clone / "examples/page-orientation/gate").iterdir()} >= FILES


@pytest.mark.slow
def test_the_page_pasted_as_a_workflow_in_a_clean_clone(clone: Path, act: Any, job: dict[str, str]) -> None:
    workflow = yaml.safe_load(block("yaml"))
    checkout, setup, gate = workflow["jobs"]["gate"]["steps"]
    assert checkout["with"]["fetch-depth"] == 0 and setup["run"].startswith("bash scripts/setup &&")
    given = {name: str(value) for name, value in gate["with"].items()}
    steps = dict(act(clone / gate["uses"] / "action.yml", clone, given, parent(clone), job))
    finished = steps["Package and gate"]
    assert finished.returncode == 0, finished.stdout + finished.stderr
