"""One measurement in a process of its own: a crash, a leak or a warm cache touches nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cases import ROOT


def measure(module: str, job: Mapping[str, Any], timeout: float, cache: Path | None = None) -> dict[str, Any]:
    """Run `python -m module` on a job and return its row: the job's keys and what was measured.

    `wall_seconds` is the whole process, imports included. `cache` is where the SDK's caches live; None gives
    the process an empty folder of its own. A process that fails gives a row with `error`.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "row.json"
        command = [sys.executable, "-m", module, json.dumps(dict(job)), str(result)]
        environment = {**os.environ, "SDK_CACHE": str(cache or Path(folder) / "cache")}
        started = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=ROOT, timeout=timeout, capture_output=True, text=True, env=environment
            )
        except subprocess.TimeoutExpired:
            return {**job, "error": f"longer than {timeout:.0f} s"}
        wall = {"wall_seconds": time.perf_counter() - started}
        if result.exists():
            return {**job, **json.loads(result.read_text()), **wall}
        return {**job, **wall, "error": f"exit {done.returncode}: {_last_line(done.stderr)}"}


def work(measured: Callable[..., dict[str, Any]]) -> None:
    """The other side: call `measured(**job)` and write its row where `measure` looks for it."""
    job, result = json.loads(sys.argv[1]), Path(sys.argv[2])
    row = measured(**job)
    result.write_text(json.dumps(row))


def sentence(error: BaseException, most: int = 160) -> str:
    """Return an error's kind and the beginning of its message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-200:] if lines else "it wrote nothing"
