"""What every test of the command line needs: an app in a folder of its own, and a cache of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

APP = Path(__file__).parent / "cli" / "app"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small app, which is the current directory."""
    folder = tmp_path / "app"
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    return folder
