"""Sweeps in processes of their own, as a user starts them, on a small app with a cache of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest


@dataclass
class Sweeps:
    """Starts `sdk sweep` in the app's folder; `cache` is what its runs share."""

    app: Path
    cache: Path

    def start(self, *arguments: str, out: str = "swept", cache: Path | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "SDK_CACHE": str(cache or self.cache), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", "-m", "sdk.cli", "sweep", "--out", out, "--json", *arguments]
        return subprocess.Popen(command, cwd=self.app, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, started: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
        out, said = started.communicate()
        assert started.returncode == code, said or out
        report: dict[str, Any] = json.loads(out)
        return report

    def run(self, *arguments: str, code: int = 0, out: str = "swept", cache: Path | None = None) -> dict[str, Any]:
        return self.finish(self.start(*arguments, out=out, cache=cache), code)

    def files(self, out: str = "swept") -> dict[str, bytes]:
        """Every file of the sweep by its path, the lock left out."""
        root = self.app / out
        found = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock"]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def lowered(self) -> dict[str, int]:
        """The entries of the cache that hold artifacts, by inode: one that was made twice has another."""
        return {path.name: path.stat().st_ino for path in (self.cache / "lowered").glob("[!.]*")}


@pytest.fixture
def sweeps(app: Path, tmp_path: Path) -> Sweeps:
    (app / "sdk.yaml").unlink()
    return Sweeps(app, tmp_path / "cache")


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The pool's workers: children that were spawned, without the resource tracker."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []
