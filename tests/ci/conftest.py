"""A small runner of composite actions: it knows what the repository's own action uses, and refuses the rest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def environment(home: Path, code: Path) -> dict[str, str]:
    """What a job sees: the installed tools first on the PATH, the code of a checkout, and a home of its own."""
    kept = {name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    person = {f"GIT_{who}_{what}": "ci@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    summary = {"GITHUB_STEP_SUMMARY": str(home / "summary.md"), "GITHUB_PATH": str(home / "path")}
    return kept | person | summary | {"PATH": path, "HOME": str(home), "PYTHONPATH": str(code), "SDK_CACHE": str(home / "cache")}


def bash(script: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-e", "-c", script], cwd=folder, env=env, capture_output=True, text=True)


def run_action(action: Path, workspace: Path, given: dict[str, str], base: str, env: dict[str, str]) -> list[tuple[str, Any]]:
    """Run a composite action's steps; returns (name, finished process or None for another action) of each."""
    data = yaml.safe_load(action.read_text())
    inputs = {name: str(spec.get("default", "")) for name, spec in data["inputs"].items()} | given
    assert set(given) <= set(data["inputs"]), "an input that the action does not have"
    missing = [name for name, spec in data["inputs"].items() if spec.get("required") and name not in given]
    assert not missing, missing
    known = {"github.event.pull_request.base.sha || github.event.before": base} | {f"inputs.{k}": v for k, v in inputs.items()}

    def fill(text: object) -> str:
        for _ in range(2):  # an input's default is itself an expression
            text = re.sub(r"\$\{\{ (.*?) \}\}", lambda match: known[match[1]], str(text))
        return str(text)

    done: list[tuple[str, Any]] = []
    failed = False
    for step in data["runs"]["steps"]:
        condition = step.get("if", "")
        skipped = (failed and "always()" not in condition) or ("inputs.install != ''" in condition and not inputs["install"])
        if skipped or "uses" in step:
            done.append((step.get("name", step.get("uses", "")), None))
            continue
        variables = {name: fill(value) for name, value in step.get("env", {}).items()}
        place = workspace / fill(step.get("working-directory", "."))
        finished = bash(step["run"], place, env | variables)
        failed = failed or finished.returncode != 0
        done.append((step["name"], finished))
    return done


@pytest.fixture
def act() -> Callable[..., list[tuple[str, Any]]]:
    return run_action


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    return bash


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return environment(tmp_path / "home", ROOT)
