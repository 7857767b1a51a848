"""Runs an artifact as `sdk check --on local` does, and returns what its transcript says."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sdk.check.protocols import PROTOCOLS
from sdk.check.runners.local import LocalRunner
from sdk.check.runners.runner import Job


def run(path: Path, runtime: str, example: Any, runs: int = 10, repeats: int = 1) -> list[Any]:
    """Return the transcripts of `repeats` fresh processes of `runs` runs each."""
    protocol = replace(PROTOCOLS["quick"], warmup=2, runs=runs, deadline=600)
    job = Job(path, runtime, tuple(value.numpy() for value in example), (), None, None)
    with LocalRunner().open("", job, 600) as session:
        return [session.run(protocol).transcript for _ in range(repeats)]


@dataclass(frozen=True)
class Memory:
    """What a transcript says of memory, in bytes: at most, private ones, before it, and at the end."""

    peak: int
    private: int
    base: int
    last: int


def memory_of(path: Path, runtime: str, example: Any) -> Memory:
    """Return the memory that an artifact takes; measured once, and kept beside it. RunnerFailed when it does not run.

    The file is written anew: how much of it one access makes resident depends on how it came into the page cache.
    """
    kept = path.with_name("memory.json")
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / path.name
            written.write_bytes(path.read_bytes())
            told = run(written, runtime, example)[0]
        found = Memory(told.peak_bytes, told.private_bytes, told.base_bytes, told.resident[-1])
        kept.write_text(json.dumps(asdict(found)))
    return Memory(**json.loads(kept.read_text()))
