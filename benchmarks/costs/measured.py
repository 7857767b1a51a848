"""Runs an artifact as `sdk check --on local` does, in a fresh process, and returns what its transcript says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sdk.check.protocols import PROTOCOLS
from sdk.check.runners.local import LocalRunner
from sdk.check.runners.runner import Job


def run(path: Path, runtime: str, example: Any, runs: int = 10, repeats: int = 1) -> list[Any]:
    """Return the transcripts of `repeats` fresh processes of `runs` runs each."""
    protocol = replace(PROTOCOLS["quick"], warmup=2, runs=runs)
    job = Job(path, runtime, tuple(value.numpy() for value in example), (), None, None)
    with LocalRunner().open("", job, 600) as session:
        return [session.run(protocol).transcript for _ in range(repeats)]
