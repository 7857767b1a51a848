"""Predicted against measured peak memory: `python -m benchmarks.costs.memory`; no model here was used to fit a table.

Each case is one model in one plan on one target, executed as `sdk check --on local` does it, in a fresh process.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.costs.artifacts import build, plan, priced, target
from benchmarks.costs.measured import run
from benchmarks.costs.models import MODELS, load
from benchmarks.results_file import intro, read, save, table, write_page

PLANS = ("float", "int8", "dynamic", "int4", "weights", "mix1", "mix2")
NAME = "memory"


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=("tflite", "executorch"))
    parser.add_argument("--model", action="append", choices=sorted(MODELS))
    parser.add_argument("--plan", action="append", help="several of " + ", ".join(PLANS))
    parser.add_argument("--keep", type=Path, help="folder of the artifacts")
    given = parser.parse_args()
    targets = given.target or ["tflite", "executorch"]
    rows = {_key(row): row for row in read(NAME)["rows"]}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.model or MODELS:
            for runtime in targets:
                for row in cases(name, runtime, given.plan or PLANS, given.keep or Path(folder)):
                    print(row, file=sys.stderr, flush=True)
                    rows[_key(row)] = row
                    save(NAME, [rows[key] for key in sorted(rows)])
                gc.collect()
    page()


def cases(name: str, runtime: str, plans: Any, folder: Path) -> Any:
    """Yield a row for each plan of a model; a plan that is the same as an earlier one is left out."""
    from sdk.costs import MemoryModel
    from sdk.errors import SdkError

    chosen = target(runtime)
    try:
        model = load(name)
        prices = priced(model, chosen)
    except SdkError as error:
        print(name, runtime, error, file=sys.stderr)
        return
    memory = MemoryModel(model, chosen.memory(), prices)
    choices = {layer: sorted(found) for layer, found in prices.layers.items()}
    seen = []
    for each in plans:
        schemes = plan(choices, each)
        if schemes in seen:
            continue
        seen.append(schemes)
        try:
            path = build(model, chosen, schemes, folder / f"{name}-{runtime}-{each}")
            told = run(path, runtime, model.example)[0]
        except SdkError as error:
            print(name, runtime, each, error, file=sys.stderr)
            continue
        parts = memory.parts(schemes)
        yield {
            "model": name, "target": runtime, "plan": each, "file_bytes": path.stat().st_size, "predicted_bytes": parts.peak,
            "measured_bytes": told.peak_bytes, "error": parts.peak / told.peak_bytes - 1,
            "private_predicted_bytes": parts.private, "private_measured_bytes": told.private_bytes,
            "private_error": parts.private / told.private_bytes - 1, "file_part_bytes": parts.file, "packed_bytes": parts.packed,
            "activations_bytes": parts.activations, "runtime_bytes": parts.runtime,
        }  # fmt: skip


def _key(row: Any) -> tuple[str, str, str]:
    return row["target"], row["model"], row["plan"]


def summary(rows: Any) -> dict[str, Any]:
    """Median and worst absolute error, the most that it was too low by, and the quantiles of measured / predicted - 1."""
    errors = [row["error"] for row in rows]
    ratios = sorted(1 / (1 + error) - 1 for error in errors)
    low, high = (ratios[min(int(share * len(ratios)), len(ratios) - 1)] for share in (0.05, 0.95))
    return {
        "cases": len(errors), "median": statistics.median(map(abs, errors)), "worst": max(map(abs, errors)),
        "too_low": max(0.0, -min(errors)), "low": low, "high": high,
    }  # fmt: skip


def page() -> None:
    """Write docs/benchmarks/memory.md."""
    document = read(NAME)
    rows = document["rows"]
    names = sorted({row["target"] for row in rows})
    totals = [{"target": name, **summary([row for row in rows if row["target"] == name])} for name in names]
    totals.append({"target": "all", **summary(rows)})
    heads = {
        "target": "target", "cases": "cases", "median": "median error", "worst": "worst", "too_low": "most too low",
        "low": "measured / predicted - 1: 5 %", "high": "95 %",
    }  # fmt: skip
    columns = {
        "target": "target", "model": "model", "plan": "plan", "file_bytes": "file", "predicted_bytes": "predicted",
        "measured_bytes": "measured", "error": "error", "private_predicted_bytes": "of it private",
        "private_measured_bytes": "measured",
        "packed_bytes": "packed weights", "activations_bytes": "activations", "runtime_bytes": "runtime",
    }  # fmt: skip
    write_page(
        NAME, "Peak memory, predicted and measured", intro("benchmarks.costs.memory", document),
        "MB. Predicted before lowering; measured as `sdk check --on local` does, in a fresh process.",
        table(totals, heads), table(rows, columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
