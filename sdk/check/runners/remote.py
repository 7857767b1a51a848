"""A check on a phone or board over any link: hold it, push, verify, run under a watchdog, remove everything."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from sdk.bundles import sha256_file
from sdk.check.environment import SCRIPT, parse_environment
from sdk.check.profile import DEADLINE, RUNS, ProfileEntry, parse_profile
from sdk.check.protocols import Protocol
from sdk.check.result import Environment
from sdk.check.runners import scripts
from sdk.check.runners.facts import Facts, parse_facts
from sdk.check.runners.inputs import write_inputs
from sdk.check.runners.link import Answer, Link
from sdk.check.runners.runner import RESIDENT, Job, Run
from sdk.check.runners.timer import START, Batch, Timings, loop, parse_loop, parse_timings, write_ramps
from sdk.check.transcript import Transcript, parse_transcript, read_outputs
from sdk.errors import BadInput, DeviceBusy, DeviceUnfit, RunnerFailed, SdkError
from sdk.units import format_size

ANSWER = 60.0
"""Seconds for a short command."""
TRANSFER = 120.0
"""Seconds for one file."""
GRACE = 10.0
"""Seconds that the program gets to end itself, above its own deadline."""
SPARE = 8_000_000
"""Bytes that stay free on the device: the outputs, and the system's needs."""


@dataclass(frozen=True, slots=True)
class Program:
    """What measures on the device: its files (name there → file here) and the start of its command line."""

    name: str
    files: dict[str, Path]
    command: str
    main: str
    """The file whose sha256 is recorded."""
    timer: str = ""
    """The start of a command line that times a list of artifacts; without one they are started one by one."""
    profiler: str = ""
    """The start of a command line that measures each operator; without one there are no profiles."""


class RemoteSession:
    """A device that is held, with everything in `folder`, and a folder `here` for its outputs.

    `words` name what a process measures: the artifact or its baseline (against the other), and the inputs; `alone` the
    artifact and the inputs.
    """

    memory_method = RESIDENT
    recorded = False

    def __init__(
        self, link: Link, facts: Facts, program: Program, folder: str, words: dict[bool, str], alone: str, here: Path
    ) -> None:
        self.device, self.origin = facts.device, facts.origin
        self.program, self.program_sha256 = program.name, sha256_file(program.files[program.main])
        self.notes: tuple[str, ...] = ()
        self._program = program
        self._link, self._folder, self._words, self._alone, self._here = link, folder, words, alone, here

    def environment(self) -> Environment:
        """Read clocks, temperatures and battery."""
        return parse_environment(self._link.shell(SCRIPT, ANSWER).output)

    def run(self, protocol: Protocol, baseline: bool = False) -> Run:
        """Measure one repeat and fetch its outputs."""
        words = {
            "--warmup": protocol.warmup, "--runs": protocol.runs, "--seconds": protocol.seconds, "--deadline": protocol.deadline,
        }  # fmt: skip
        given = (f"{name} {value:g}" for name, value in words.items())
        command = " ".join((self._program.command, self._words[baseline], *given))
        answer = self._link.shell(scripts.run_script(self._folder, command), protocol.deadline + GRACE)
        transcript = _transcript(answer)
        for name, _, _ in transcript.outputs:
            if "/" in name or name.startswith("."):
                raise RunnerFailed(f"the runner names an output {name[:60]!r} that is not in its folder")
            self._link.pull(f"{self._folder}/{name}", self._here / name, TRANSFER)
        return Run(transcript, tuple(read_outputs(transcript, self._here)))

    def profile(self) -> ProfileEntry:
        """Run the program's profiler; BadInput where it has none."""
        if not self._program.profiler:
            raise BadInput("--profile: a runner of your own makes no profiles: leave --runner out")
        command = f"{self._program.profiler} {self._alone} --profile {RUNS} --deadline {DEADLINE:g}"
        answer = self._link.shell(scripts.run_script(self._folder, command), DEADLINE + GRACE)
        return parse_profile(answer.output, "; ".join([f"exit code {answer.code}", *answer.errors.strip().splitlines()[-1:]]))

    def ask(self, script: str) -> str:
        """Run the script on the device."""
        return self._link.shell(script, ANSWER).output

    def time(self, batch: Batch) -> Timings:
        """Push the batch, time it by the program's list or a shell loop, and remove it again."""
        names = [f"probe_{place:03}" for place in range(len(batch.files))]
        files = dict(zip(names, batch.files, strict=True)) | write_ramps(batch, self._here)
        (self._here / "list").write_text(batch.lines(names))
        try:
            _push(self._link, self._folder, {**files, "list": self._here / "list"})
            timer = self._program.timer
            command = f"{timer} list {batch.words}" if timer else loop(self._program.command, names, batch)
            answer = self._link.shell(scripts.run_script(self._folder, command), batch.deadline + START)
        finally:
            with suppress(SdkError):
                self._link.shell(f"cd {quote(self._folder)} && rm -f list probe_* ramp_* output_*", ANSWER)
        if not self._program.timer:
            return parse_loop(answer.output, len(names))
        ended = "; ".join([f"exit code {answer.code}", *answer.errors.strip().splitlines()[-1:]])
        return parse_timings(answer.output, len(names), ended)


def _transcript(answer: Answer) -> Transcript:
    try:
        return parse_transcript(answer.output, f"exit code {answer.code}")
    except RunnerFailed as error:
        last = answer.errors.strip().splitlines()[-1:]
        raise RunnerFailed(f"{error}{f'; {last[0][:300]}' if last else ''}") from None


def read_facts(link: Link) -> Facts:
    """Ask the device what it is."""
    return parse_facts(link.shell(scripts.FACTS, ANSWER).output, link.id, link.phone)


@contextmanager
def hold(link: Link, facts: Facts, job: Job, program: Program, deadline: float) -> Iterator[RemoteSession]:
    """Hold the device, push everything and yield the session; whatever happens, what was pushed is removed.

    When the device is lost, its own janitor removes everything once `deadline` seconds are over.
    DeviceBusy, DeviceUnfit and DeviceLost say why it cannot be used.
    """
    folder, token = f"{facts.root}/{scripts.FOLDER}", secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="snugfit-check-") as here:
        inputs = write_inputs(job.inputs, Path(here))
        sides = _names(job)
        files = {**program.files, **sides, **_files(Path(here))}
        _fits(facts, files)
        try:
            _take(link, folder, token, deadline)
            notes = _push(link, folder, files)
            given = " ".join(f"--input {quote(said)}" for said in inputs)
            words = {side: f"{_words(list(sides), side)} {given}" for side in (False, True)}
            alone = f"{quote(job.artifact.name)} {given}"
            session = RemoteSession(link, facts, program, folder, words, alone, Path(here))
            session.notes = notes
            yield session
        finally:
            _release(link, folder, token)


def _names(job: Job) -> dict[str, Path]:
    """What artifact and baseline are called there; both may have the same name here."""
    found = {job.artifact.name: job.artifact}
    return found | ({f"baseline-{job.baseline.name}": job.baseline} if job.baseline is not None else {})


def _words(names: list[str], baseline: bool) -> str:
    """The artifact that is measured alone, and the one that it then runs against."""
    own, *against = reversed(names) if baseline else names
    return " ".join((quote(own), *(f"--against {quote(name)}" for name in against)))


def _files(here: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(here.iterdir())}


def _fits(facts: Facts, files: dict[str, Path]) -> None:
    needed = sum(path.stat().st_size for path in files.values()) + SPARE
    if facts.free is not None and facts.free < needed:
        raise DeviceUnfit(
            f"{facts.device.id} has no space: {format_size(needed)} are needed in {facts.root}, "
            f"{format_size(facts.free)} are free"
        )


def _take(link: Link, folder: str, token: str, deadline: float) -> None:
    said = link.shell(scripts.hold_script(folder, token, deadline), ANSWER)
    word = said.output.split()[-1] if said.output.split() else ""
    if word == "busy":
        raise DeviceBusy(f"{link.id} is in use by another check: wait until it is done (its files are in {folder})")
    if word != "held":
        detail = said.errors.strip().splitlines()[-1:] or [word or f"exit code {said.code}"]
        raise DeviceUnfit(f"{link.id}: {folder} cannot be made ({detail[0][:120]})")


def _push(link: Link, folder: str, files: dict[str, Path]) -> tuple[str, ...]:
    for name, path in files.items():
        link.push(path, f"{folder}/{name}", TRANSFER)
    answer = link.shell(scripts.hashes_script(folder, list(files)), TRANSFER)
    if answer.code == 127:
        return (f"{link.id} has no sha256sum: what was pushed was not compared",)
    found = {line.split(maxsplit=1)[1].strip().lstrip("*"): line.split()[0] for line in answer.output.splitlines() if " " in line}
    for name, path in files.items():
        if found.get(name) != sha256_file(path):
            raise DeviceUnfit(f"{name} did not arrive on {link.id} as it was sent: check its storage and cable, then try again")
    return ()


def _release(link: Link, folder: str, token: str) -> None:
    """Remove everything; a device that is lost is left to its janitor."""
    with suppress(SdkError):
        link.shell(scripts.release_script(folder, token), ANSWER)
