"""Times a batch of artifacts: the command lines that programs take for it, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from sdk.check.transcript import parse_transcript
from sdk.errors import RunnerFailed, SdkError

START = 60.0
"""Seconds that a process may take to start and import the runtime, above what its runs may."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Artifacts that take turns: their files, DTYPE:SHAPE of the inputs of each, and how long.

    Each of `rounds` runs every artifact at least `runs` times and for `seconds`; `deadline` seconds end the whole.
    """

    files: tuple[Path, ...]
    inputs: tuple[tuple[str, ...], ...]
    rounds: int
    runs: int
    seconds: float
    deadline: float

    @property
    def words(self) -> str:
        """The options of the Python program."""
        return f"--rounds {self.rounds} --runs {self.runs} --seconds {self.seconds:g} --deadline {self.deadline:g}"

    def lines(self, names: Sequence[str]) -> str:
        """The list that the Python program reads, with the artifacts under these names."""
        return "".join(f"{name} {' '.join(said)}\n" for name, said in zip(names, self.inputs, strict=True))


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one artifact: median and p90 in ns of each round in which it ran."""

    medians: list[int] = field(default_factory=list)
    p90s: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timings:
    """What a batch took, in its order, and the runtime's name."""

    runtime: str
    each: tuple[Timing, ...]


def write_ramps(batch: Batch, folder: Path) -> dict[str, Path]:
    """Write the inputs that programs without lists read, one file for all of a kind; return them by name."""
    from sdk.check.programs.timing import ramp

    found = {}
    for said in sorted({said for each in batch.inputs for said in each}):
        path = folder / ramp_name(said)
        path.write_bytes(ramp(said).tobytes())
        found[path.name] = path
    return found


def ramp_name(said: str) -> str:
    """The file of an input DTYPE:SHAPE."""
    return f"ramp_{said.replace(':', '_')}"


def loop(command: str, names: Sequence[str], batch: Batch) -> str:
    """A command of sh that runs every artifact in every round by a program that takes one."""
    limit = max(5, int(batch.deadline / (batch.rounds * len(names))) * 4)
    words = f"--warmup 3 --runs {batch.runs} --seconds {batch.seconds:g} --deadline {limit}"
    lines = []
    for place, (name, inputs) in enumerate(zip(names, batch.inputs, strict=True)):
        given = " ".join(f"--input {said}:{ramp_name(said)}" for said in inputs)
        lines.append(f"echo artifact {place}; {command} {name} {given} {words}")
    rounds = " ".join(map(str, range(batch.rounds)))
    return f"sh -c {quote(f'for r in {rounds}; do ' + '; '.join(lines) + '; done')}"


def parse_timings(text: str, count: int, ended: str) -> Timings:
    """Read what `timing.py` printed of `count` artifacts; RunnerFailed when it did not live to the end."""
    each = tuple(Timing() for _ in range(count))
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    words: Mapping[str, str] = {line[0]: line[1] for line in lines if len(line) == 2}
    if ["end"] not in lines or "runtime" not in words:
        said = words.get("error", words.get("runtime", "it said nothing"))
        raise RunnerFailed(f"the program that times artifacts did not end well ({ended}): {said[:200]}")
    for word, *rest in lines:
        if word == "time_ns":
            place, median, p90 = map(int, rest[0].split())
            each[place].medians.append(median)
            each[place].p90s.append(p90)
    return Timings(words["runtime"], each)


def parse_loop(text: str, count: int) -> Timings:
    """Read transcripts behind lines `artifact PLACE`, as a shell loop over a program without lists prints them."""
    each = tuple(Timing() for _ in range(count))
    runtime = ""
    for part in text.split("artifact ")[1:]:
        place, _, told = part.partition("\n")
        try:
            transcript = parse_transcript(told, "ended early")
        except SdkError:
            continue  # this artifact does not run there: it is left out
        samples = sorted(transcript.samples_ns)
        runtime = transcript.runtime
        each[int(place)].medians.append(samples[len(samples) // 2])
        each[int(place)].p90s.append(samples[int(0.9 * len(samples))])
    if not runtime:
        raise RunnerFailed("none of the artifacts of the probe ran on the device")
    return Timings(runtime, each)
