"""The runner `null`: no device at all; the recorded outputs come back with made-up times, or the fault that is asked for.

It tests everything above a runner. `null` pretends to be a device, `null:emulator` and `null:host` to be one of those;
`null:lost`, `null:killed`, `null:busy`, `null:hot`, `null:wrong` and `null:unsteady` are faults; on `null:slower` and
`null:bigger` the artifact has become so, by 10 and 5 %, since its baseline.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sdk.check.profile import FIRST, ProfileEntry, parse_profile
from sdk.check.protocols import Protocol
from sdk.check.result import DeviceEntry, Environment, Origin
from sdk.check.runners.runner import RESIDENT, Job, Run
from sdk.check.runners.timer import Batch, Timing, Timings
from sdk.check.transcript import Transcript
from sdk.errors import BadInput, DeviceBusy, DeviceLost, RunnerFailed

ORIGINS: dict[str, Origin] = {"": "device", "emulator": "emulator", "host": "host"}
FAULTS = ("bigger", "busy", "hot", "killed", "lost", "slower", "unsteady", "wrong")
MEDIAN_NS = 5_000_000
PEAK = 12_000_000


class NullSession:
    """Answers at once, with the same numbers every time."""

    program = "none"
    program_sha256 = ""
    notes: tuple[str, ...] = ("nothing was run: the null runner makes its numbers up",)
    memory_method = RESIDENT
    recorded = False

    def __init__(self, fault: str, job: Job) -> None:
        self.origin: Origin = ORIGINS.get(fault, "device")
        self.device = DeviceEntry(id="null", name="No device", abi="none", os="none", emulated=fault == "emulator")
        self._fault, self._job, self._repeats = fault, job, 0

    def environment(self) -> Environment:
        """Return a cool device, or a hot one where that is the fault."""
        return Environment(thermal_status="severe" if self._fault == "hot" else "none", battery_percent=80)

    def run(self, protocol: Protocol, baseline: bool = False) -> Run:
        """Return made-up samples, or raise the fault."""
        if self._fault == "lost":
            raise DeviceLost("null: the device went away in the middle of a run: connect it again")
        if self._fault == "killed":
            raise RunnerFailed("null: the runner stopped in the middle (exit code 137)")
        self._repeats += 1
        slow = 1.0 + 0.2 * self._repeats if self._fault == "unsteady" else 1.0
        noise = random.Random(self._repeats)
        samples, now, before = (_samples(noise, slow * factor, protocol.runs) for factor in (1, self._change("slower", 1.1), 1))
        peak = round(PEAK * (1 if baseline else self._change("bigger", 1.05)))
        own, against = ((before, now) if baseline else (now, before)) if self._job.baseline is not None else ((), ())
        told = Transcript(
            "null", 2 * MEDIAN_NS, 3 * MEDIAN_NS, samples, base_bytes=1_000_000, peak_bytes=peak, resident=(PEAK,) * 64,
            own_ns=own, against_ns=against,
        )  # fmt: skip
        return Run(told, self._outputs())

    def profile(self) -> ProfileEntry:
        """Return one operator of each backend, the same every time."""
        return parse_profile(f"{FIRST}\nruntime null\nruns 1\nop XNNPACK 0 3000 None\nop LiteRT 1 2000 NONE\nend", "")

    def ask(self, script: str) -> str:
        """Say nothing."""
        return ""

    def time(self, batch: Batch) -> Timings:
        """Return times that grow with the files, the same every time."""
        taken = [MEDIAN_NS // 100 + path.stat().st_size for path in batch.files]
        return Timings("null", tuple(Timing([ns] * batch.rounds, [ns * 11 // 10] * batch.rounds) for ns in taken))

    def _change(self, fault: str, factor: float) -> float:
        return factor if self._fault == fault else 1.0

    def _outputs(self) -> tuple[Any, ...]:
        return tuple(array + 1 for array in self._job.outputs) if self._fault == "wrong" else self._job.outputs


def _samples(noise: random.Random, slow: float, count: int) -> tuple[int, ...]:
    return tuple(int(MEDIAN_NS * slow * (1 + 0.02 * noise.random())) for _ in range(count))


class NullRunner:
    """Opens a session with nothing."""

    name = "null"
    beyond_cpu = False

    @contextmanager
    def open(self, address: str, job: Job, deadline: float) -> Iterator[NullSession]:
        """Pretend; BadInput for a fault that there is not."""
        if address not in ORIGINS and address not in FAULTS:
            known = ", ".join(sorted((*FAULTS, *filter(None, ORIGINS))))
            raise BadInput(f"--on null:{address[:40]}: there is no such fault: use {known}")
        if address == "busy":
            raise DeviceBusy("null: another check holds the device: wait until it is done")
        yield NullSession(address, job)


RUNNER = NullRunner()
