"""What every test of the command line needs: an app in a folder of its own, and a cache of its own."""

from __future__ import annotations

import logging
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy machine is not a failure
settings.load_profile("any machine")

# A shell in the background ignores it, and so do all children: tests interrupt them.
signal.signal(signal.SIGINT, signal.default_int_handler)

APP = Path(__file__).parent / "cli" / "app"


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log lines, as in the command's own process (torch logs to the stderr of the test that imported it)."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    yield
    logging.disable(before)


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
