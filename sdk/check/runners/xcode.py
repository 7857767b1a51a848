"""The runner `xcode:DIR`: writes a test package for Xcode, and reads the transcript that somebody brings back.

Nothing is run from here: a Mac or an iPhone measures, at another time. So the first check writes DIR and ends with Missing, and
one that finds DIR/transcript.json judges it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdk.bundles import Manifest, sha256_file
from sdk.check.environment import HOT
from sdk.check.profile import ProfileEntry
from sdk.check.protocols import Protocol
from sdk.check.result import DeviceEntry, Environment, Origin
from sdk.check.runners.runner import Job, Run
from sdk.check.runners.timer import Batch, Timings
from sdk.check.runners.xcode_package import PROGRAM, TEMPLATE, steps_of, units_of, write_package
from sdk.check.runners.xcode_transcript import AGAIN, StateEntry, XcodeTranscript, read_transcript
from sdk.errors import BadInput, DeviceUnfit, Missing

TRANSCRIPT = "transcript.json"
THERMAL = {"nominal": "none", "fair": "light", "serious": "severe", "critical": "critical", "unknown": None}
"""`ProcessInfo.thermalState` → Android's word for as much; Apple also calls a serious state one that slows the system down."""
MEMORY = "phys_footprint at its peak over loading and all runs, less that before loading"
ELSEWHERE = "--on xcode: nothing runs from here, it reads what a test in Xcode measured"


class XcodeSession:
    """A transcript, repeat by repeat."""

    program = PROGRAM
    memory_method = MEMORY
    recorded = True

    def __init__(self, told: XcodeTranscript, path: Path) -> None:
        machine = told.device
        phone = machine.system != "macos"
        self.origin: Origin = "emulator" if machine.simulator else "device" if phone else "host"
        self.device = DeviceEntry(
            id="xcode", name=machine.machine, model=machine.machine if phone else "", abi=machine.abi,
            os=f"{machine.system} {machine.version}", emulated=machine.simulator,
        )  # fmt: skip
        self.program_sha256 = sha256_file(TEMPLATE / PROGRAM)
        self.notes = _notes(told, path)
        self._states = iter((told.before, told.after))
        self._runs = iter(told.runs(path))

    def environment(self) -> Environment:
        """Return the state before the runs, then that after them."""
        return Environment(thermal_status=THERMAL[next(self._states).thermal])

    def run(self, protocol: Protocol, baseline: bool = False) -> Run:
        """Return the next repeat."""
        return next(self._runs)

    def profile(self) -> ProfileEntry:
        """Raise BadInput: the test makes no profiles."""
        raise BadInput(ELSEWHERE)

    def ask(self, script: str) -> str:
        """Raise BadInput: there is no shell."""
        raise BadInput(ELSEWHERE)

    def time(self, batch: Batch) -> Timings:
        """Raise BadInput: the test measures one artifact."""
        raise BadInput(ELSEWHERE)


def _notes(told: XcodeTranscript, path: Path) -> tuple[str, ...]:
    notes = [
        f"measured by the test of an Xcode package, read from {path}: its repeats are loads in one process",
        f"compiling the package took {told.compile_ns / 1e6:,.0f} ms, once, before loading",
    ]
    if _any(told.before, told.after):
        notes.append("low power mode was on: the device was slower than it can be")
    return tuple(notes)


def _any(*states: StateEntry) -> bool:
    return any(state.low_power for state in states)


class XcodeRunner:
    """Opens a session on a transcript, or writes the package that makes one."""

    name = "xcode"
    beyond_cpu = True

    @contextmanager
    def open(self, address: str, job: Job, deadline: float) -> Iterator[XcodeSession]:
        """Read DIR/transcript.json; without one, write the package into DIR and raise Missing, which says what to do.

        BadInput for anything but a Core ML bundle, and for a transcript that is damaged or of another artifact or protocol;
        DeviceUnfit for one of a hot device.
        """
        manifest, protocol = _asked(address, job)
        place = Path(address)
        path = place / TRANSCRIPT
        if not path.exists():
            write_package(place, job, manifest, protocol)
            raise Missing(
                f"{place}: holds a test for Xcode, and no {TRANSCRIPT} yet: run the test on the device as README.md there says, "
                f"put its {TRANSCRIPT} there too, and run this command again"
            )
        told = read_transcript(path)
        _fits(told, path, manifest, protocol)
        if THERMAL[told.before.thermal] in HOT:
            raise DeviceUnfit(f"{path}: the device was hot (thermal state {told.before.thermal}): let it cool, then {AGAIN}")
        yield XcodeSession(told, path)


def _asked(address: str, job: Job) -> tuple[Manifest, Protocol]:
    """What is to be measured, and how; BadInput where a test in Xcode cannot."""
    if not address:
        raise BadInput("--on xcode: name the directory for the test package: --on xcode:DIR")
    if job.manifest is None or job.protocol is None:
        raise BadInput(f"{ELSEWHERE}: use --on local, adb or ssh:HOST")
    if job.target != "coreml":
        raise BadInput(f"--on xcode measures bundles of coreml, and this is one of {job.target}: use --on local, adb or ssh:HOST")
    if job.program is not None:
        raise BadInput("--runner: the test in Xcode brings its own program: leave it out")
    if job.baseline is not None:
        raise BadInput("--baseline: the test in Xcode measures one artifact: compare two results with sdk gate")
    if not job.inputs or not job.outputs:
        raise BadInput("the bundle records no inputs and outputs for the test in Xcode: package again")
    return job.manifest, job.protocol


def _fits(told: XcodeTranscript, path: Path, manifest: Manifest, protocol: Protocol) -> None:
    """Raise BadInput where the transcript is of something else."""
    mend = "remove it and check again for a new test, or name another directory"
    if told.artifact_sha256 != manifest.artifact.sha256:
        raise BadInput(
            f"{path}: is of the artifact {told.artifact_sha256[:12]}, and the bundle's is {manifest.artifact.sha256[:12]}: {mend}"
        )
    if told.compute_units != units_of(manifest):
        raise BadInput(f"{path}: was measured with {told.compute_units}, and the bundle is for {units_of(manifest)}: {mend}")
    if told.steps.model_dump() != steps_of(protocol):
        raise BadInput(f"{path}: was measured by another protocol ({told.steps.name}) than {protocol.name} asks for: {mend}")


RUNNER = XcodeRunner()
