"""The Runner protocol: what a check asks of a way to run artifacts, and the data that passes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sdk.bundles import Manifest
from sdk.check import protocols
from sdk.check.profile import ProfileEntry
from sdk.check.result import DeviceEntry, Environment, Origin
from sdk.check.runners.timer import Batch, Timings
from sdk.check.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Job:
    """What is to run: the artifact, its target, recorded inputs and outputs (numpy arrays), and what the user chose.

    `baseline` is an artifact of the same target and inputs, with which it is to be compared in turns.
    `outputs` are for the null runner alone. `program` is a runner of the user's own that keeps the contract of
    docs/check.md, `ssh_config` a file for ssh. `manifest` and `protocol` are those of a check; a probe has none.
    """

    artifact: Path
    target: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...] = ()
    program: Path | None = None
    ssh_config: Path | None = None
    baseline: Path | None = None
    manifest: Manifest | None = None
    protocol: protocols.Protocol | None = None

    def sides(self, baseline: bool) -> tuple[Path, Path | None]:
        """What a process measures alone, and what it then runs against (None: nothing)."""
        return (self.baseline, self.artifact) if baseline and self.baseline is not None else (self.artifact, self.baseline)


@dataclass(frozen=True, slots=True)
class Run:
    """One repeat: what the program told, and the outputs of its last run (numpy arrays)."""

    transcript: Transcript
    outputs: tuple[Any, ...]


RESIDENT = "VmHWM over loading and all runs, less VmRSS before loading"
"""How programs on Linux and Android read peak memory."""


class Session(Protocol):
    """A device that is held, with everything that the job needs in its place.

    `memory_method` says how peak memory is read there; `recorded`: everything was measured earlier, so there is nothing to
    wait for.
    """

    device: DeviceEntry
    origin: Origin
    program: str
    program_sha256: str
    notes: tuple[str, ...]
    memory_method: str
    recorded: bool

    def environment(self) -> Environment:
        """Read clocks, temperatures and battery."""
        ...

    def run(self, protocol: protocols.Protocol, baseline: bool = False) -> Run:
        """Measure one repeat in a fresh process: the job's artifact, or its baseline.

        Where the job has a baseline, the process then loads the other artifact too and runs both in turns.
        RunnerFailed when the artifact breaks it, DeviceLost when it does not end by `protocol.deadline` seconds.
        """
        ...

    def profile(self) -> ProfileEntry:
        """Run the job's artifact in a process of its own that measures each operator.

        BadInput where the program that runs there makes no profiles.
        """
        ...

    def ask(self, script: str) -> str:
        """Run a short script of sh there and return what it printed."""
        ...

    def time(self, batch: Batch) -> Timings:
        """Run the artifacts of a batch in turns; none of its outputs come back. RunnerFailed and DeviceLost as for `run`."""
        ...


class Runner(Protocol):
    """One way to run: a module of `sdk.check.runners` exposes it as `RUNNER`.

    `beyond_cpu`: what was made for a GPU or an NPU is executed there without a program of the user's.
    """

    name: str
    beyond_cpu: bool

    def open(self, address: str, job: Job, deadline: float) -> AbstractContextManager[Session]:
        """Hold the device at `address` for at most `deadline` seconds; everything is removed on leaving.

        BadInput when the address is wrong, Missing and its kinds when there is no such device or it cannot run the job.
        """
        ...
