"""Times the artifacts of a probe in rounds, a batch at a time, and takes the middle round of each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sdk.check.runners.runner import Session
from sdk.check.runners.timer import Batch
from sdk.errors import CheckFailed
from sdk.probing.artifacts import Probe
from sdk.progress import Reporter

BATCH = 48
"""Artifacts that are on the device at once."""
RUNS = 12
"""Runs of an artifact in a round, at least."""
SECONDS = 0.07
"""Seconds of an artifact in a round, at least."""
ROUNDS = 3
"""Rounds through all artifacts: minutes lie between two times of one, so what slows a device down seldom meets two of three."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What a probe measured: the median of each artifact that ran (place → ns), p90 over p50, and the runtime's name.

    `spread`: the median difference between the rounds of an artifact, relative: the noise that no model can predict.
    """

    medians: dict[int, float]
    tail: float
    spread: float
    runtime: str


def time_probes(probes: Sequence[Probe], session: Session, report: Reporter) -> Timed:
    """Time all probes through the session of a device that is held; CheckFailed when most of them do not run there."""
    rounds: dict[int, list[tuple[int, int]]] = {}
    runtime = ""
    batches = [range(start, min(start + BATCH, len(probes))) for start in range(0, len(probes), BATCH)]
    with report.stage("time kernels", ROUNDS * len(batches)):
        for batch in batches * ROUNDS:
            found = session.time(_batch([probes[place] for place in batch]))
            runtime = found.runtime
            for place, timing in zip(batch, found.each, strict=True):
                rounds.setdefault(place, []).extend(zip(timing.medians, timing.p90s, strict=True))
            report.step()
    known = {place: sorted(each) for place, each in rounds.items() if each}
    if len(known) < len(probes) / 2:
        failed = f"{len(probes) - len(known)} of {len(probes)} kernels of the probe"
        raise CheckFailed(f"{failed} did not run on {session.device.id}")
    middle = {place: each[len(each) // 2] for place, each in known.items()}
    tail = statistics.median(p90 / median for median, p90 in middle.values())
    spread = statistics.median(middle[place][0] / each[0][0] - 1 for place, each in known.items())
    return Timed({place: float(median) for place, (median, _) in middle.items()}, max(1.0, tail), spread, runtime)


def _batch(probes: Sequence[Probe]) -> Batch:
    deadline = 30 + len(probes) * (SECONDS + 1.0)
    return Batch(tuple(p.file for p in probes), tuple(p.inputs for p in probes), 1, RUNS, SECONDS, deadline)
