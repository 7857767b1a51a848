"""Predicted against measured latency: `python -m benchmarks.costs.latency PROFILE.yaml`, as `sdk devices probe` wrote it.

No model here is in the probe. All cases take turns in several rounds, so that what disturbs the machine disturbs all of them
alike; the middle round's median is compared, and how far the rounds of one case lie apart is the noise floor.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    """One model in one plan on one target: its file, and its inputs as DTYPE:SHAPE."""

    target: str
    model: str
    plan: str
    file: str
    inputs: tuple[str, ...]


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--target", action="append", choices=("tflite", "executorch"))
    parser.add_argument("--model", action="append", choices=sorted(MODELS))
    parser.add_argument("--keep", type=Path, required=True, help="folder of the artifacts")
    parser.add_argument("--stage", action="append", choices=tuple(STAGES), help="by default all, in this order")
    given = parser.parse_args()
    for stage in given.stage or STAGES:
        for name in given.target or ("tflite", "executorch"):
            STAGES[stage](name, given)
    if "predict" in (given.stage or STAGES):
        page()


def build_all(runtime: str, given: Any) -> None:
    """Make the artifacts; a plan that is the same as an earlier one of its model is left out."""
    from sdk.errors import SdkError

    chosen, found = target(runtime), []
    for name in given.model or MODELS:
        try:
            model = load(name)
            choices = {layer: sorted(schemes) for layer, schemes in priced(model, chosen).layers.items()}
        except SdkError as error:
            print(name, runtime, error, file=sys.stderr)
            continue
        said = tuple(f"{str(v.dtype).removeprefix('torch.')}:{'x'.join(map(str, v.shape))}" for v in model.example)
        seen: list[Any] = []
        for each in PLANS:
            schemes = plan(choices, each)
            if schemes in seen:
                continue
            seen.append(schemes)
            folder = given.keep / f"{name}-{runtime}-{each}"
            try:
                path = build(model, chosen, schemes, folder)
            except SdkError as error:
                print(name, runtime, each, error, file=sys.stderr)
                continue
            print(name, runtime, each, file=sys.stderr, flush=True)
            found.append(Case(runtime, name, each, str(path), said))
        gc.collect()
    (given.keep / f"{runtime}.json").write_text(json.dumps([asdict(case) for case in found]))


def measure(runtime: str, given: Any) -> None:
    """Time all cases in turns, and keep the rows."""
    from sdk.check.runners.local import LocalRunner
    from sdk.check.runners.runner import Job
    from sdk.check.runners.timer import Batch

    found = [Case(**row) for row in json.loads((given.keep / f"{runtime}.json").read_text())]
    batch = Batch(tuple(Path(c.file) for c in found), tuple(tuple(c.inputs) for c in found), ROUNDS, 10, SECONDS, 3000)
    with LocalRunner().open("", Job(Path(found[0].file), runtime, ()), 3600) as session:
        told = session.time(batch)
    rows = {_key(row): row for row in read(NAME)["rows"] if row["target"] != runtime}
    for case, timing in zip(found, told.each, strict=True):
        if timing.medians:
            rounds = sorted(ns / 1e6 for ns in timing.medians)
            row = {
                "target": runtime, "model": case.model, "plan": case.plan, "measured_ms": statistics.median(rounds),
                "measured_p90_ms": min(timing.p90s) / 1e6, "noise": statistics.median(rounds) / rounds[0] - 1,
                "rounds_ms": rounds,
            }  # fmt: skip
            rows[_key(row)] = row
    save(NAME, [rows[key] for key in sorted(rows)])


def predict(runtime: str, given: Any) -> None:
    """Add what the profile predicts of every case that was measured."""
    from sdk.costs import LatencyModel
    from sdk.devices import find_device

    kernels = find_device(given.profile).kernels[runtime]
    rows = read(NAME)["rows"]
    for name in sorted({row["model"] for row in rows if row["target"] == runtime}):
        latency = LatencyModel(load(name), kernels)
        for row in rows:
            if (row["target"], row["model"]) == (runtime, name):
                schemes = json.loads((given.keep / f"{name}-{runtime}-{row['plan']}" / "schemes.json").read_text())
                row["predicted_ms"] = latency.median(schemes)
                row["error"] = row["predicted_ms"] / row["measured_ms"] - 1
    save(NAME, rows)


STAGES: dict[str, Any] = {"build": build_all, "measure": measure, "predict": predict}


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
    """Kendall's tau over pairs of plans whose measured times differ by more than the noise of both (else a pair is a tie).

    A pair that is predicted alike (within 1 %: the same kernels) is neither right nor wrong, but counts.
    """
    agree, count = 0, 0
    for one, two in itertools.combinations(rows, 2):
        gap = one["measured_ms"] / two["measured_ms"] - 1
        if abs(gap) <= max(one["noise"], two["noise"]):
            continue
        count += 1
        said = one["predicted_ms"] / two["predicted_ms"] - 1
        agree += 0 if abs(said) < 0.01 else 1 if (said > 0) == (gap > 0) else -1
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
        "Medians of the middle one of five rounds in which all cases took turns; noise: how far it lies above the quietest.",
        table(totals, heads), table(rows, columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
