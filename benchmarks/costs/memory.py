"""Predicted against measured peak memory: `python -m benchmarks.costs.memory`; no model here was used to fit a table.

`known` models were looked at to find out what a runtime holds, and so were the `fresh` and the `seen` ones in the end; `unseen`
models were chosen, predicted (`--predict` writes that down before anything is lowered) and measured once the model was finished.
Each case is one model in one plan on one target, executed as `sdk check --on local` does it, in a process of its own.
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
from benchmarks.costs.fresh_models import FRESH
from benchmarks.costs.measured import memory_of
from benchmarks.costs.models import MODELS, load
from benchmarks.costs.seen_models import SEEN
from benchmarks.costs.unseen_models import UNSEEN
from benchmarks.results_file import intro, read, save, table, write_page

PLANS = ("float", "int8", "dynamic", "int4", "weights", "mix1", "mix2")
NAME = "memory"
PREDICTED = "memory_predicted"
"""Name of the results that hold the predictions of the unseen models, as they were before these were measured."""
SETS: dict[str, dict[str, Any]] = {"known": MODELS, "fresh": FRESH, "seen": SEEN, "unseen": UNSEEN}


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=("tflite", "executorch"))
    parser.add_argument("--model", action="append", choices=sorted(name for each in SETS.values() for name in each))
    parser.add_argument("--set", choices=sorted(SETS), default="known", help="whose models, where none is named")
    parser.add_argument("--plan", action="append", help="several of " + ", ".join(PLANS))
    parser.add_argument("--keep", type=Path, help="folder of the artifacts and what was measured of them")
    parser.add_argument("--predict", action="store_true", help="only write the predictions of the unseen models")
    given = parser.parse_args()
    targets = given.target or ["tflite", "executorch"]
    if given.predict:
        save(PREDICTED, [row for name in UNSEEN for each in targets for row in predictions(name, each, given.plan or PLANS)])
        return
    rows = {_key(row): row for row in read(NAME)["rows"]}
    with tempfile.TemporaryDirectory() as folder:
        for name in given.model or SETS[given.set]:
            for runtime in targets:
                for row in cases(name, runtime, given.plan or PLANS, given.keep or Path(folder)):
                    print(row, file=sys.stderr, flush=True)
                    rows[_key(row)] = row
                    save(NAME, [rows[key] for key in sorted(rows)])
                gc.collect()
    page()


def predictions(name: str, runtime: str, plans: Any) -> Any:
    """Yield what is predicted for each plan of a model; none where the target refuses it."""
    from sdk.costs import MemoryModel
    from sdk.errors import SdkError

    chosen, model = target(runtime), load(name)
    try:
        prices = priced(model, chosen)
    except SdkError as error:
        print(name, runtime, error, file=sys.stderr)
        return
    memory = MemoryModel(model, chosen.memory(), prices)
    choices = {layer: sorted(found) for layer, found in prices.layers.items()}
    for each in plans:
        parts = memory.parts(plan(choices, each))
        print(name, runtime, each, parts.peak, file=sys.stderr, flush=True)
        yield {"model": name, "target": runtime, "plan": each, "predicted_bytes": parts.peak, "private_bytes": parts.private}


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
            told = memory_of(path, runtime, model.example)
        except SdkError as error:
            print(name, runtime, each, error, file=sys.stderr)
            continue
        yield case_row(name, runtime, each, memory.parts(schemes), told, path.stat().st_size)


def case_row(name: str, runtime: str, each: str, parts: Any, told: Any, size: int) -> dict[str, Any]:
    """What was predicted and measured of one case; `size`: bytes of the file."""
    return {
        "model": name, "target": runtime, "plan": each, "set": next(each for each, models in SETS.items() if name in models),
        "file_bytes": size, "predicted_bytes": parts.peak, "measured_bytes": told.peak, "error": parts.peak / told.peak - 1,
        "private_predicted_bytes": parts.private, "private_measured_bytes": told.private,
        "private_error": parts.private / told.private - 1, "file_part_bytes": parts.file, "packed_bytes": parts.packed,
        "activations_bytes": parts.activations, "runtime_bytes": parts.runtime,
    }  # fmt: skip


def _key(row: Any) -> tuple[str, str, str]:
    return row["target"], row["model"], row["plan"]


def summary(rows: Any) -> dict[str, Any]:
    """Median and worst absolute error, how often and by how much too low, quantiles of measured / predicted - 1."""
    errors = [row["error"] for row in rows]
    ratios = sorted(1 / (1 + error) - 1 for error in errors)
    low, high = (ratios[min(int(share * len(ratios)), len(ratios) - 1)] for share in (0.05, 0.95))
    return {
        "cases": len(errors), "median": statistics.median(map(abs, errors)), "worst": max(map(abs, errors)),
        "too_low": max(0.0, -min(errors)), "too_low_cases": sum(error < -0.03 for error in errors), "low": low, "high": high,
    }  # fmt: skip


def page() -> None:
    """Write docs/benchmarks/memory.md."""
    document = read(NAME)
    rows = document["rows"]
    parts: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        parts.setdefault((row["target"], row["set"]), []).append(row)
    totals = [{"target": name, "set": which, **summary(parts[name, which])} for name, which in sorted(parts)]
    totals.append({"target": "all", "set": "", **summary(rows)})
    heads = {
        "target": "target", "set": "models", "cases": "cases", "median": "median error", "worst": "worst",
        "too_low": "most too low", "too_low_cases": "too low by more than 3 %",
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
        "MB. Predicted before lowering; measured as `sdk check --on local` does, in a process of its own. `known`, `fresh` and "
        "`seen` models were looked at to find out what a runtime holds; `unseen` ones were chosen and measured once the model "
        "was finished. None was used to fit a table.",
        table(totals, heads), table(rows, columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
