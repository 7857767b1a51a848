"""Times the artifacts of a probe in turns, a batch at a time, and takes the quietest round of each."""

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
"""Rounds in which all artifacts of a batch take turns: what disturbs one round seldom disturbs them all."""


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
    medians: dict[int, float] = {}
    tails, spreads, runtime = [], [], ""
    batches = [range(start, min(start + BATCH, len(probes))) for start in range(0, len(probes), BATCH)]
    with report.stage("time kernels", len(batches)):
        for batch in batches:
            found = session.time(_batch([probes[place] for place in batch]))
            runtime = found.runtime
            for place, timing in zip(batch, found.each, strict=True):
                if timing.medians:
                    best = min(range(len(timing.medians)), key=timing.medians.__getitem__)
                    medians[place] = float(timing.medians[best])
                    tails.append(timing.p90s[best] / timing.medians[best])
                    spreads.append(statistics.median(timing.medians) / timing.medians[best] - 1)
            report.step()
    if len(medians) < len(probes) / 2:
        failed = f"{len(probes) - len(medians)} of {len(probes)} kernels of the probe"
        raise CheckFailed(f"{failed} did not run on {session.device.id}")
    return Timed(medians, max(1.0, statistics.median(tails)), statistics.median(spreads), runtime)


def _batch(probes: Sequence[Probe]) -> Batch:
    deadline = 30 + len(probes) * ROUNDS * (SECONDS + 1.0)
    return Batch(tuple(p.file for p in probes), tuple(p.inputs for p in probes), ROUNDS, RUNS, SECONDS, deadline)
