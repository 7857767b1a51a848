"""Reads what a program on the device printed: the border between measuring and judging.

    snugfit-run 1
    runtime LiteRT 2.3.0
    base_bytes N        resident before loading
    load_ns N
    first_ns N
    peak_bytes N        most that was resident after that, above the base
    private_bytes N     of what was resident after the runs, above the base, that which is of no file
    sample_ns N N …     any number of such lines
    resident_bytes N …  while running, at equal distances
    stride N            every how many runs a sample was kept
    output FILE DTYPE SHAPE   one per output; SHAPE such as 1x1000, or scalar
    own_ns N N …        with --against: runs in turns with the other artifact, on any number of lines
    against_ns N N …    the other's, equally many; those at the same place were measured next to each other
    end

Or `error WHY`. A transcript without `end` is of a program that did not live to write it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.errors import DeviceUnfit, RunnerFailed

FIRST = "snugfit-run 1"


@dataclass(frozen=True, slots=True)
class Transcript:
    """One repeat as the program told it: nanoseconds, bytes (None: the system does not say), files of the outputs."""

    runtime: str
    load_ns: int
    first_ns: int
    samples_ns: tuple[int, ...]
    stride: int = 1
    base_bytes: int | None = None
    peak_bytes: int | None = None
    private_bytes: int | None = None
    resident: tuple[int, ...] = ()
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    own_ns: tuple[int, ...] = ()
    against_ns: tuple[int, ...] = ()


_NUMBERS = ("sample_ns", "resident_bytes", "own_ns", "against_ns")


@dataclass(slots=True)
class _Read:
    words: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _NUMBERS})
    outputs: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)


def parse_transcript(text: str, ended: str) -> Transcript:
    """Return what the program told; `ended` says how it ended, such as `exit code 137`.

    DeviceUnfit when the program says that it cannot run there, RunnerFailed when it did not live to the end or wrote
    something else.
    """
    lines = text.splitlines()
    if FIRST not in lines:
        said = f": {lines[-1][:200]}" if lines else ""
        raise RunnerFailed(f"the runner started no transcript ({ended}){said}")
    read = _Read()
    for line in lines[lines.index(FIRST) + 1 :]:
        _take(line, read)
        if line == "end":
            return _whole(read)
    raise RunnerFailed(f"the runner stopped in the middle ({ended}): {_reason(ended)}")


def _reason(ended: str) -> str:
    if "137" in ended or "-9" in ended:
        return "it was killed, as the system does when memory runs short; a smaller artifact may live"
    if "142" in ended or "-14" in ended:
        return "it reached its deadline on the device; raise --deadline or check a faster artifact"
    return "the artifact or the runtime broke it"


def _take(line: str, read: _Read) -> None:
    word, _, rest = line.partition(" ")
    try:
        if word == "error":
            raise DeviceUnfit(f"the runner on the device cannot run this: {rest}")
        if word in read.numbers:
            read.numbers[word] += map(int, rest.split())
        elif word == "output":
            name, dtype, shape = rest.split()
            read.outputs.append((name, dtype, () if shape == "scalar" else tuple(map(int, shape.split("x")))))
        else:
            read.words[word] = rest
    except ValueError:
        raise RunnerFailed(f"the runner wrote a line that is none of the transcript's: {line[:80]!r}") from None


def _whole(read: _Read) -> Transcript:
    words, numbers = read.words, {name: tuple(found) for name, found in read.numbers.items()}
    try:
        if not numbers["sample_ns"]:
            raise KeyError("sample_ns")
        if len(numbers["own_ns"]) != len(numbers["against_ns"]):
            raise KeyError("against_ns")
        return Transcript(
            runtime=words["runtime"], load_ns=int(words["load_ns"]), first_ns=int(words["first_ns"]),
            samples_ns=numbers["sample_ns"], stride=int(words.get("stride", 1)), base_bytes=_maybe(words, "base_bytes"),
            peak_bytes=_maybe(words, "peak_bytes"),
            private_bytes=_maybe(words, "private_bytes"), resident=numbers["resident_bytes"], outputs=tuple(read.outputs),
            own_ns=numbers["own_ns"], against_ns=numbers["against_ns"],
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise RunnerFailed(f"the runner's transcript lacks or spoils {error}") from None


def _maybe(words: dict[str, str], name: str) -> int | None:
    return int(words[name]) if name in words else None


def read_outputs(transcript: Transcript, folder: Path) -> list[Any]:
    """Return the outputs in `folder` as numpy arrays; RunnerFailed when a file is absent or has another size."""
    import numpy

    found = []
    for name, dtype, shape in transcript.outputs:
        try:
            found.append(numpy.frombuffer((folder / name).read_bytes(), dtype).reshape(shape))
        except (OSError, ValueError, TypeError) as error:
            raise RunnerFailed(f"output {name} of the runner cannot be read: {error}") from None
    return found
