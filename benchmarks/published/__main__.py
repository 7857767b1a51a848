"""Latency without a probe: `python -m benchmarks.published FILE.csv`, for any file with the columns of published rows.

Every model is left out in turn, and every device, and predicted from the rest.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.published.rows import Row, read
from benchmarks.published.transfer import Transfer
from benchmarks.results_file import intro, save, table, write_page  # fmt: skip
from benchmarks.results_file import read as read_results

NAME = "published"


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    rows = read(parser.parse_args().file)
    start = Transfer(rows, steps=80).weights
    results = []
    for what, key in (("model", lambda row: row.model), ("device", lambda row: row.device)):
        results += left_out(rows, what, key, start)
    save(NAME, results, rows_used=len(rows), models=len({row.model for row in rows}))
    page()


def left_out(rows: Sequence[Row], what: str, key: Callable[[Row], str], start: Any) -> list[dict[str, Any]]:
    """One summary per way of predicting, over all rows, each predicted without those that share its `key`."""
    said: dict[str, list[Any]] = {"transfer": [], **{name: [] for name in BASELINES}}
    inside, truth = [], []
    for name in sorted({key(row) for row in rows}):
        known, asked = [row for row in rows if key(row) != name], [row for row in rows if key(row) == name]
        middle, low, high = Transfer(known, start=start, steps=8).predict(asked)
        actual = np.array([row.milliseconds for row in asked])
        print(what, name, len(asked), float(np.median(np.abs(middle / actual - 1))), file=sys.stderr, flush=True)
        said["transfer"] += list(middle)
        for baseline, run in BASELINES.items():
            said[baseline] += [run(known, row) for row in asked]
        inside += list((low <= actual) & (actual <= high))
        truth += list(actual)
    found = []
    for way, values in said.items():
        error = np.abs(np.array(values) / np.array(truth) - 1)
        factor = np.exp(np.abs(np.log(np.array(values) / np.array(truth))))
        found.append({
            "left_out": what, "way": way, "rows": len(truth), "median_error": float(np.median(error)),
            "median_factor": float(np.median(factor)), "within_50": float(np.mean(error <= 0.5)),
            "coverage": float(np.mean(inside)) if way == "transfer" else None,
        })  # fmt: skip
    return found


def _pool(known: Sequence[Row], row: Row) -> Sequence[Row]:
    """The rows that are most like one: of its device, runtime and precision, or what comes nearest of those."""
    keys = (("device", "runtime", "precision"), ("runtime", "precision"), ("device",), ())
    pools = ([each for each in known if all(getattr(each, k) == getattr(row, k) for k in names)] for names in keys)
    return next(pool for pool in pools if len(pool) >= 3 or pool is known or len(pool) == len(known))


def roofline(known: Sequence[Row], row: Row) -> float:
    """MACs over the median throughput of the rows most like it."""
    return row.macs * float(np.median([each.milliseconds / each.macs for each in _pool(known, row)]))


def mean(known: Sequence[Row], row: Row) -> float:
    """The geometric mean of the rows most like it, whatever their model."""
    return float(np.exp(np.mean([np.log(each.milliseconds) for each in _pool(known, row)])))


def same_model(known: Sequence[Row], row: Row) -> float:
    """The geometric mean of the model's own rows on other devices, in its runtime where there are any."""
    own = [each for each in known if each.model == row.model]
    alike = [each for each in own if (each.runtime, each.precision) == (row.runtime, row.precision)]
    pool = alike or own
    return float(np.exp(np.mean([np.log(each.milliseconds) for each in pool]))) if pool else mean(known, row)


BASELINES = {"MACs roofline": roofline, "mean of the device": mean, "the model elsewhere": same_model}


def page() -> None:
    """Write docs/benchmarks/published.md."""
    document = read_results(NAME)
    columns = {
        "left_out": "left out", "way": "predicted by", "rows": "rows", "median_error": "median error",
        "median_factor": "median factor", "within_50": "within 50 %", "coverage": "inside the 90 % interval",
    }  # fmt: skip
    write_page(
        NAME, "Latency of devices and models that nobody probed", intro("benchmarks.published", document),
        f"{document.get('rows_used')} published rows of {document.get('models')} architectures that can be built here.",
        table(document["rows"], columns),
    )  # fmt: skip


if __name__ == "__main__":
    main()
