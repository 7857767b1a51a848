"""How often `sdk check --baseline` finds a regression, and how often it invents one: `python -m benchmarks.baseline`."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, stdev
from typing import Any

from benchmarks.cases import CASES
from benchmarks.results_file import intro, read, save, table, write_page

TRIALS = 100
CHANNELS, HIDDEN = 32, 7600
"""What makes the network 10 % slower: channels of a convolution; and its peak 5 % bigger: a hidden layer's units."""
KINDS = ("worse", "same")
LONG = 400
"""Runs in turns of each of 20 processes, for the true size of a change."""
COLUMNS = {
    "kind": "what changed", "others": "beside it", "trials": "trials",
    "true_latency": "true latency", "true_memory": "true memory",
    "latency_failed": "latency failed", "latency_unjudged": "unjudged", "memory_failed": "memory failed",
    "memory_unjudged": "unjudged", "latency": "median ratio", "noise": "its deviation", "memory": "median memory ratio",
    "p50": "p50 ms", "seconds": "seconds a trial",
}  # fmt: skip
NAMES = {"worse": "a branch and a hidden layer more", "same": "nothing"}


def main() -> None:
    """Prepare the bundles where they are not there, then run trials for some minutes; each is kept, the page is made anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "snugfit-baseline", help="of the bundles")
    parser.add_argument("--minutes", type=float, default=5, help="begin no trial after that")
    parser.add_argument("--true", action="store_true", help="measure the true sizes of the changes instead, at length")
    parser.add_argument("--beside", default="nothing", help="what else runs on the machine meanwhile, as the table calls it")
    parser.add_argument("--busy", action="store_true", help="beside a process that computes all the time")
    parser.add_argument("--again", action="store_true", help="forget the trials of earlier calls")
    parser.add_argument("--table", action="store_true", help="only rewrite the page from the results")
    options = parser.parse_args()
    if not options.table:
        for kind in KINDS:
            prepare(options.folder, kind)
        document = {"rows": [], "true": {}} if options.again else read("baseline")
        with neighbour() if options.busy else _nobody():
            run(document, options)
    page()


def prepare(folder: Path, kind: str) -> None:
    """Package the example, or the example with something beside it, for the tflite target with fp16 weights."""
    import sdk

    if (folder / kind / "manifest.json").exists():
        return
    case = CASES["page-orientation"]
    sdk.package(
        grown(case.loaded[0], kind), device="pixel8", target="tflite", uniform="fp16", calibration=case.calibration[:4],
        out=folder / kind, name="page-orientation",
    )  # fmt: skip


def grown(network: Any, kind: str) -> Any:
    """Return the network, unless the kind is `same` with a branch whose logits are added, and layers after both."""
    import torch
    from torch import nn

    class Grown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            body = nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1), nn.ReLU()
            ends = [nn.Conv2d(3, CHANNELS, 1), nn.ReLU()], [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 4)]
            self.slower = nn.Sequential(nn.AvgPool2d((7, 8)), *ends[0], *body, *ends[1])
            self.bigger = nn.Sequential(nn.Linear(4, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 4))

        def forward(self, image: Any) -> Any:
            return self.bigger(self.slower(image) + self.network(image))

    if kind == "same":
        return network
    torch.manual_seed(0)
    return Grown().eval()


def run(document: dict[str, Any], options: argparse.Namespace) -> None:
    """Run trials until the time is over or all are there, the kind with the fewest first."""
    rows: list[dict[str, Any]] = document["rows"]
    true: dict[str, Any] = document.setdefault("true", {})
    if options.true:
        true.update({kind: true_size(options.folder, kind) for kind in KINDS})
    end = time.monotonic() + 60 * options.minutes
    others = "a busy process" if options.busy else options.beside
    while not options.true and time.monotonic() < end:
        counts = {kind: sum(row["kind"] == kind and row["others"] == others for row in rows) for kind in KINDS}
        kind = min(counts, key=counts.__getitem__)
        if counts[kind] >= TRIALS:
            break
        rows.append({"kind": kind, "others": others, **trial(options.folder, kind)})
        print(json.dumps(rows[-1]), flush=True)
    save("baseline", rows, true=true)


def trial(folder: Path, kind: str) -> dict[str, Any]:
    """One `sdk check BUNDLE --baseline EARLIER --on local`: ratios, verdicts and log ratios of the repeats."""
    from sdk.check import CheckRequest, check_bundle
    from sdk.check.baseline import latency_ratio
    from sdk.progress import SilentReporter

    load, started = os.getloadavg()[0], time.perf_counter()
    found = check_bundle(CheckRequest(folder / kind, baseline=folder / "same"), SilentReporter())
    latency, memory = found.budgets[-2:]
    assert found.baseline is not None
    return {
        "latency": latency.measured.value, "latency_verdict": latency.verdict, "memory": memory.measured.value,
        "memory_verdict": memory.verdict, "seconds": time.perf_counter() - started, "load": load,
        "p50": found.latency.p50_ms.value,
        "repeats": [round(latency_ratio(*pair), 5) for pair in zip(found.repeats, found.baseline.repeats, strict=True)],
    }  # fmt: skip


def true_size(folder: Path, kind: str) -> dict[str, float]:
    """The ratios of latency and peak memory from 10 repeats of 20 processes, and the standard error of the first."""
    from sdk.bundles import open_bundle
    from sdk.check.baseline import latency_ratio
    from sdk.check.judging import repeat_of
    from sdk.check.protocols import PROTOCOLS
    from sdk.check.runners.local import LocalRunner
    from sdk.check.runners.runner import Job

    now, before = open_bundle(folder / kind), open_bundle(folder / "same")
    job = Job(now.artifact, "tflite", tuple(now.reference[0]), baseline=before.artifact)
    protocol = replace(PROTOCOLS["quick"], runs=LONG)
    with LocalRunner().open("", job, 3600) as session:
        pairs = [tuple(repeat_of(session.run(protocol, side), "host") for side in (False, True)) for _ in range(10)]
    ratios = [latency_ratio(*pair) for pair in pairs]
    peaks = [(a.peak_bytes or 1) / (b.peak_bytes or 1) for a, b in pairs]
    return {
        "latency": math.exp(sum(ratios) / len(ratios)), "error": stdev(ratios) / math.sqrt(len(ratios)), "memory": median(peaks)
    }  # fmt: skip


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that computes on one core, in bursts, as other jobs of a build server do."""
    process = multiprocessing.Process(target=_compute, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@contextmanager
def _nobody() -> Iterator[None]:
    yield


def _compute() -> None:
    import random

    toss = random.Random(0)
    while True:
        until = time.monotonic() + toss.uniform(0.1, 2)
        while time.monotonic() < until:
            sum(range(10_000))
        time.sleep(toss.uniform(0, 0.5))


def page() -> None:
    """Write `docs/benchmarks/baseline.md` from the results."""
    document = read("baseline")
    beside = sorted({row["others"] for row in document["rows"]})
    rows = [_row(kind, others, document) for others in beside for kind in KINDS]
    write_page(
        "baseline", "Regressions that `sdk check --baseline` finds", intro("benchmarks.baseline", document), NOTE,
        table(rows, COLUMNS),
    )  # fmt: skip


NOTE = (
    "A trial is one `sdk check BUNDLE --baseline EARLIER --on local`, protocol quick, 5 repeats, of the page-orientation example "
    "(fp16 weights, tflite). True sizes come from 20 processes of 400 runs in turns; ± is their standard error. *failed* means: "
    "told as a regression (latency from 1.06 on, memory from 1.03). *a busy process*: another one computes in bursts (up to 2 s, "
    "then up to 0.5 s pause) on one of the two cores."
)


def _row(kind: str, others: str, document: dict[str, Any]) -> dict[str, Any]:
    rows = [row for row in document["rows"] if (row["kind"], row["others"]) == (kind, others)]
    true = document.get("true", {}).get(kind)
    found: dict[str, Any] = {"kind": NAMES[kind], "others": others, "trials": len(rows)}
    if true:
        found |= {"true_latency": f"{true['latency']:.3f} ± {true['error']:.3f}", "true_memory": f"{true['memory']:.3f}"}
    for what in ("latency", "memory"):
        for verdict in ("failed", "unjudged"):
            found[f"{what}_{verdict}"] = sum(row[f"{what}_verdict"] == verdict for row in rows)
    if rows:
        found |= {what: median(row[what] for row in rows) for what in ("latency", "memory", "p50", "seconds")}
        found["noise"] = _deviation([math.log(row["latency"]) for row in rows])
    return found


def _deviation(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


if __name__ == "__main__":
    main()
