"""The runner `local`: this machine, in a fresh process per repeat; its numbers are the host's, never a device's."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdk.check.environment import SCRIPT, parse_environment
from sdk.check.profile import DEADLINE, RUNS, ProfileEntry, parse_profile
from sdk.check.programs import measure
from sdk.check.programs.local import MARK
from sdk.check.protocols import Protocol
from sdk.check.result import DeviceEntry, Environment, Origin
from sdk.check.runners.inputs import write_inputs
from sdk.check.runners.process import run_process
from sdk.check.runners.runner import RESIDENT, Job, Run
from sdk.check.runners.timer import Batch, Timings, parse_timings
from sdk.check.transcript import parse_transcript, read_outputs
from sdk.errors import BadInput, RunnerFailed

TIMER, PROFILER = "sdk.check.programs.timing", "sdk.check.programs.profiling"
"""What times a batch, and what measures each operator."""
START = 300.0
"""Seconds that a process may take to start and import the runtime, above what a repeat may."""


class LocalSession:
    """This machine, with a folder of its own for the outputs."""

    origin: Origin = "host"
    program = "sdk.check.programs.local"
    program_sha256 = ""
    notes: tuple[str, ...] = ()
    memory_method = RESIDENT
    recorded = False

    def __init__(self, job: Job, folder: Path) -> None:
        self.device = DeviceEntry(id="local", name=platform.node(), abi=platform.machine(), os=platform.platform(terse=True))
        self._job, self._folder = job, folder
        self._inputs = write_inputs(job.inputs, folder)
        self._runtime: dict[str, Any] = {}

    def environment(self) -> Environment:
        """Read clocks, temperatures and battery."""
        _, output, _ = run_process(["sh", "-c", SCRIPT], given=b"", deadline=30, what="reading the environment")
        return parse_environment(output.decode(errors="replace"))

    def ask(self, script: str) -> str:
        """Run the script here."""
        _, output, _ = run_process(["sh", "-c", script], given=b"", deadline=30, what="a script on this machine")
        return output.decode(errors="replace")

    def profile(self) -> ProfileEntry:
        """Run LiteRT's profiler in a process of this Python."""
        given = [f"--profile={RUNS}", f"--deadline={DEADLINE:g}", *(f"--input={said}" for said in self._inputs)]
        words = ["-m", PROFILER, self._job.target, str(self._job.artifact.resolve()), *given]
        code, output, errors = self._start(words, {}, DEADLINE + START)
        return parse_profile(output, f"exit code {code}{errors}")

    def time(self, batch: Batch) -> Timings:
        """Time the batch in one process of this Python, with the runtime as boards open it."""
        listed = self._folder / "list"
        listed.write_text(batch.lines([str(path.resolve()) for path in batch.files]))
        command = [sys.executable, "-W", "ignore", "-m", TIMER, self._job.target, str(listed), *batch.words.split()]
        code, output, errors = run_process(
            command, given=b"", folder=self._folder, deadline=batch.deadline + START, what="the process that times artifacts",
            environment=_environment(),
        )  # fmt: skip
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        return parse_timings(output.decode(errors="replace"), len(batch.files), "; ".join([f"exit code {code}", *last]))

    def run(self, protocol: Protocol, baseline: bool = False) -> Run:
        """Measure one repeat in a fresh process of this Python."""
        if not self._runtime:
            self._runtime = self._probe()
        words = {
            "warmup": protocol.warmup, "runs": protocol.runs, "seconds": protocol.seconds, "deadline": protocol.deadline,
        }  # fmt: skip
        job = {**self._given(baseline), **words, **self._runtime}
        code, output, errors = self._start(_as_boards(job) if job["mapped"] else _OWN, job, protocol.deadline + START)
        try:
            transcript = parse_transcript(output, f"exit code {code}")
        except RunnerFailed as error:
            raise RunnerFailed(f"{error}{errors}") from None
        transcript = replace(transcript, runtime=job["runtime"])
        return Run(transcript, tuple(read_outputs(transcript, self._folder)))

    def _probe(self) -> dict[str, Any]:
        """Run the artifact once, and return the runtime's name and modules."""
        code, output, errors = self._start(_OWN, self._given(False), START)
        told = [line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)]
        if not told:
            raise RunnerFailed(f"the artifact does not run here (exit code {code}){errors}")
        found: dict[str, Any] = json.loads(told[0])
        return found

    def _given(self, baseline: bool) -> dict[str, Any]:
        own, against = (str(path.resolve()) if path else None for path in self._job.sides(baseline))
        return {"artifact": own, "against": against, "target": self._job.target, "inputs": self._inputs}

    def _start(self, program: Sequence[str], job: dict[str, Any], deadline: float) -> tuple[int, str, str]:
        """Start a program; returns its exit code, its output and its last line of errors with a semicolon."""
        code, output, errors = run_process(
            [sys.executable, "-P", "-W", "ignore", *program], given=json.dumps(job).encode(), folder=self._folder,
            deadline=deadline, what="the process that runs the artifact", environment=_environment(),
        )  # fmt: skip
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        return code, output.decode(errors="replace"), f"; {last[0][:300]}" if last else ""


class LocalRunner:
    """Opens a session on this machine."""

    name = "local"
    beyond_cpu = False

    @contextmanager
    def open(self, address: str, job: Job, deadline: float) -> Iterator[LocalSession]:
        """Hold a temporary folder; BadInput when an address is given."""
        if address:
            raise BadInput(f"--on local:{address}: this machine has no address: write --on local")
        if job.program is not None:
            raise BadInput("--runner: the local runner opens the artifact with its target: leave it out, or use --on adb or ssh")
        with tempfile.TemporaryDirectory(prefix="snugfit-check-") as folder:
            yield LocalSession(job, Path(folder))


_OWN = ("-m", LocalSession.program)


def _as_boards(job: dict[str, Any]) -> list[str]:
    """The program for boards and its words."""
    words = [f"--{name}={job[name]:g}" for name in ("warmup", "runs", "seconds", "deadline")]
    inputs = [f"--input={said}" for said in job["inputs"]]
    against = [f"--against={job['against']}"] if job["against"] else []
    return [measure.__file__, job["target"], job["artifact"], *words, *inputs, *against]


def _environment() -> dict[str, str]:
    """The environment, with what this process can import on the path of the other."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


RUNNER = LocalRunner()
