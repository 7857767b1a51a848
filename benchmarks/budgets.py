"""Random size budgets, kept or answered with a counter-offer: `python -m benchmarks.budgets`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, DEVICES
from benchmarks.isolated import measure, sentence, work
from benchmarks.packaged import figures
from benchmarks.results_file import intro, read, save, table, write_page

SEED = 20260
BELOW = 2
"""Budgets of each pair that lie below its smallest file, besides the random ones."""

COLUMNS = {
    "case": "model", "target": "target", "smallest_bytes": "smallest MB", "float_bytes": "float MB",
    "made": "bundles", "over": "above budget", "worst": "worst predicted / real − 1",
    "slack": "median budget left", "refused": "refused", "offered": "refused with a counter-offer",
    "error": "other failures",
}  # fmt: skip


def main() -> None:
    """Share out `--count` budgets over models and targets, check each, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="budgets in all")
    parser.add_argument("--case", action="append", choices=CASES, help="only this model (repeatable)")
    parser.add_argument("--target", action="append", choices=DEVICES, help="only this runtime (repeatable)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one pair may take")
    options = parser.parse_args()
    pairs = [(case, target) for case in options.case or CASES for target in options.target or DEVICES]
    rows = {(row["case"], row["target"]): row for row in read("budgets")["rows"]}
    for index, (case, target) in enumerate(pairs):
        count = len(range(index, options.count, len(pairs)))
        job = {"case": case, "target": target, "count": count, "seed": SEED + index}
        rows[case, target] = measure("benchmarks.budgets", job, options.timeout)
        print(json.dumps(rows[case, target]), flush=True)
        save("budgets", [rows[key] for key in sorted(rows)])
    page()


def try_budgets(case: str, target: str, count: int, seed: int) -> dict[str, Any]:
    """Package for one target under `count` budgets from 0.9 × the smallest to 1.05 × the float size, and BELOW smaller ones."""
    import numpy as np

    warnings.filterwarnings("ignore")
    smallest, floating = _ends(case, target)
    random = np.random.default_rng(seed)
    sizes = np.exp(random.uniform(np.log(0.9 * smallest), np.log(1.05 * floating), count)).astype(int)
    sizes = [*sizes, *(random.uniform(0.5, 0.99, BELOW) * smallest).astype(int)]
    tries = [_try(case, target, int(size), smallest) for size in sizes]
    return {"smallest_bytes": smallest, "float_bytes": floating, "tries": tries}


def _ends(case: str, target: str) -> tuple[int, int]:
    """Return the smallest size that the counter-offer names, and the size of the float file."""
    import sdk
    from sdk.errors import BudgetError
    from sdk.lowering.discovery import find_target

    words = {"device": DEVICES[target], "target": target, "calibration": CASES[case].calibration}
    floating = sdk.plan(CASES[case].reference, uniform=find_target(target).lossless, **words).predicted.artifact_bytes
    try:
        sdk.plan(CASES[case].reference, max_size="1kB", **words)
    except BudgetError as error:
        return error.offer.smallest_size, floating
    raise AssertionError("a budget of 1 kB was not refused")


def _try(case: str, target: str, size: int, smallest: int) -> dict[str, Any]:
    import sdk
    from sdk.errors import BudgetError

    row: dict[str, Any] = {"max_size": size}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bundle"
        try:
            bundle = sdk.package(
                CASES[case].reference, device=DEVICES[target], target=target, max_size=size,
                calibration=CASES[case].calibration, out=out,
            )
            found = figures(bundle)
            row |= {**found, "within": found["bytes"] <= size}
        except BudgetError as error:
            offer = getattr(error, "offer", None)
            offered = offer is not None and offer.smallest_size == smallest > size and not out.exists()
            row |= {"refused": sentence(error, 400), "offered": offered}
        except Exception as error:
            row["error"] = sentence(error, 400)
    return row | {"seconds": time.perf_counter() - started}


def page() -> None:
    """Write the summary: one line per pair, then every budget."""
    document = read("budgets")
    pairs = [row | _summary(row.get("tries", ())) for row in document["rows"]]
    tries = [
        {"case": row["case"], "target": row["target"], **_shown(one)}
        for row in document["rows"]
        for one in row.get("tries", ())
    ]
    every = {
        "case": "model", "target": "target", "max_bytes": "budget MB", "bytes": "file MB",
        "predicted_bytes": "predicted MB", "answer": "answer",
    }  # fmt: skip
    head = (
        f"{len(tries)} random budgets from 0.9 × the smallest file to 1.05 × the float file, seed {SEED}. "
        f"Pairs with refusals were given {BELOW} more, from half of the smallest file to just below it."
    )
    made = intro("benchmarks.budgets", document)
    write_page("budgets", "Random size budgets", made, head, table(pairs, COLUMNS), table(tries, every))


def _summary(tries: Any) -> dict[str, Any]:
    import statistics

    made = [one for one in tries if "bytes" in one]
    errors = [one["predicted_bytes"] / one["bytes"] - 1 for one in made]
    left = [1 - one["bytes"] / one["max_size"] for one in made]
    return {
        "made": len(made),
        "over": sum(not one["within"] for one in made),
        "worst": f"{max(errors, key=abs):+.3%}" if errors else None,
        "slack": f"{statistics.median(left):.2%}" if left else None,
        "refused": sum("refused" in one for one in tries),
        "offered": sum(one.get("offered", False) for one in tries),
        "error": sum("error" in one for one in tries),
    }


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    answer = "bundle" if "bytes" in one else one.get("refused") or one.get("error")
    return one | {"max_bytes": one["max_size"], "answer": answer}


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(try_budgets)
    else:
        main()
