"""Predicted against measured latency: `python -m benchmarks.costs.latency PROFILE.yaml`, as `sdk devices probe` wrote it.

No model here is in the probe. All cases take turns in several rounds, so that what disturbs the machine disturbs all of them
alike; a round's median is compared, and how far the rounds of one case lie apart is the noise floor.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.costs.artifacts import build, plan, priced, target
from benchmarks.costs.models import MODELS, load
from benchmarks.results_file import intro, read, save, table, write_page

PLANS = ("float", "half", "int8", "dynamic", "int4", "weights", "mix1", "mix2")
NAME = "latency"
ROUNDS = 5
SECONDS = 0.4


@dataclass
class Case:
    """One model in one plan on one target: its file, its inputs as DTYPE:SHAPE, and the predicted median in ms."""

    target: str
    model: str
    plan: str
    file: Path
    inputs: tuple[str, ...]
    predicted: float
    macs: int


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--target", action="append", choices=("tflite", "executorch"))
    parser.add_argument("--model", action="append", choices=sorted(MODELS))
    parser.add_argument("--keep", type=Path, required=True, help="folder of the artifacts")
    parser.add_argument("--build", action="store_true", help="make the artifacts, and measure nothing")
    given = parser.parse_args()
    kernels = _kernels(given.profile)
    for name in given.target or sorted(kernels):
        found = [case for model in given.model or MODELS for case in cases(model, name, kernels.get(name), given.keep)]
        if not given.build:
            measure(name, found)
    if not given.build:
        page()


def _kernels(profile: Path) -> Any:
    from sdk.devices import find_device

    return find_device(profile).kernels


def cases(name: str, runtime: str, kernels: Any, folder: Path) -> Any:
    """Yield a case for each plan of a model; a plan that is the same as an earlier one is left out."""
    from sdk.costs import LatencyModel
    from sdk.errors import SdkError

    chosen = target(runtime)
    try:
        model = load(name)
        choices = {layer: sorted(found) for layer, found in priced(model, chosen).layers.items()}
    except SdkError as error:
        print(name, runtime, error, file=sys.stderr)
        return
    latency = LatencyModel(model, kernels) if kernels is not None else None
    seen: list[Any] = []
    said = tuple(f"{str(v.dtype).removeprefix('torch.')}:{'x'.join(map(str, v.shape))}" for v in model.example)
    for each in PLANS:
        schemes = plan(choices, each)
        if schemes in seen:
            continue
        seen.append(schemes)
        try:
            path = build(model, chosen, schemes, folder / f"{name}-{runtime}-{each}")
        except SdkError as error:
            print(name, runtime, each, error, file=sys.stderr)
            continue
        print(name, runtime, each, file=sys.stderr, flush=True)
        macs = sum(layer.macs for layer in model.inventory.layers)
        yield Case(runtime, name, each, path, said, latency.median(schemes) if latency else 0.0, macs)
    gc.collect()


def measure(runtime: str, found: Sequence[Case]) -> None:
    """Time all cases in turns, and keep the rows."""
    from sdk.check.runners.local import LocalRunner
    from sdk.check.runners.runner import Job
    from sdk.check.runners.timer import Batch

    batch = Batch(tuple(c.file for c in found), tuple(c.inputs for c in found), ROUNDS, 10, SECONDS, 3000)
    with LocalRunner().open("", Job(found[0].file, runtime, ()), 3600) as session:
        told = session.time(batch)
    rows = {_key(row): row for row in read(NAME)["rows"]}
    for case, timing in zip(found, told.each, strict=True):
        if not timing.medians:
            continue
        rounds = sorted(ns / 1e6 for ns in timing.medians)
        quiet, p90 = rounds[0], min(timing.p90s) / 1e6
        row = {
            "target": runtime, "model": case.model, "plan": case.plan, "predicted_ms": case.predicted, "measured_ms": quiet,
            "measured_p90_ms": p90, "error": case.predicted / quiet - 1, "noise": statistics.median(rounds) / quiet - 1,
            "macs": case.macs, "rounds_ms": rounds,
        }  # fmt: skip
        rows[_key(row)] = row
    save(NAME, [rows[key] for key in sorted(rows)])


def _key(row: Any) -> tuple[str, str, str]:
    return row["target"], row["model"], row["plan"]


def summary(rows: Sequence[Any]) -> dict[str, Any]:
    """Median and 90 % point of the absolute error, the share within 20 %, Kendall's tau between the plans of a model."""
    errors = sorted(abs(row["error"]) for row in rows)
    models = sorted({row["model"] for row in rows})
    taus = [tau for model in models if (tau := kendall([row for row in rows if row["model"] == model])) is not None]
    return {
        "cases": len(rows), "median": statistics.median(errors), "p90": errors[int(0.9 * (len(errors) - 1))],
        "within_20": sum(error <= 0.2 for error in errors) / len(errors), "tau": statistics.mean(taus),
        "noise": statistics.median(row["noise"] for row in rows),
    }  # fmt: skip


def kendall(rows: Sequence[Any]) -> float | None:
    """Kendall's tau over pairs of plans whose measured times differ by more than the noise of both (else a pair is a tie)."""
    agree, count = 0, 0
    for one, two in itertools.combinations(rows, 2):
        gap = one["measured_ms"] / two["measured_ms"] - 1
        if abs(gap) <= max(one["noise"], two["noise"]):
            continue
        count += 1
        agree += 1 if (one["predicted_ms"] > two["predicted_ms"]) == (gap > 0) else -1
    return agree / count if count else None


def page() -> None:
    """Write docs/benchmarks/latency.md."""
    document = read(NAME)
    rows = document["rows"]
    names = sorted({row["target"] for row in rows})
    totals = [{"target": name, **summary([row for row in rows if row["target"] == name])} for name in names]
    heads = {
        "target": "target", "cases": "cases", "median": "median error", "p90": "90 % point", "within_20": "within 20 %",
        "tau": "Kendall's tau", "noise": "noise floor",
    }  # fmt: skip
    columns = {
        "target": "target", "model": "model", "plan": "plan", "predicted_ms": "predicted ms", "measured_ms": "measured ms",
        "error": "error", "noise": "noise",
    }  # fmt: skip
    write_page(
        NAME, "Latency, predicted and measured", intro("benchmarks.costs.latency", document),
        "Medians of the quietest of five rounds in which all cases took turns; noise: how far the median round lies above it.",
        table(totals, heads), table(rows, columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
