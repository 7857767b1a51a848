"""Runs the measurements of `sdk sweep` and puts their table on docs/sweep.md."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import ROOT
from benchmarks.results_file import intro, read, save, table
from benchmarks.sweeping.runs import Place, cluster, finish, killed, run

PAGE = ROOT / "docs" / "sweep.md"
HEADING = "## Measured\n"
COLUMNS = {
    "matrix": "matrix", "what": "run", "wall_seconds": "seconds", "cpu_seconds": "processor seconds",
    "busy": "load of the machine", "cells": "cells", "built": "built", "infeasible": "infeasible", "failed": "failed",
    "artifacts": "different artifacts", "lowered": "plans lowered", "again": "lowered twice",
    "equal": "files equal to the first run's",
}  # fmt: skip
PHASES = ("local", "second", "resume", "ray", "killed", "eight")


def main() -> None:
    """Measure the phases asked for, in order, and rewrite the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--matrix", choices=("small", "examples"), default="small")
    parser.add_argument("--phase", action="append", choices=PHASES, help="may be repeated; all by default")
    parser.add_argument("--work", type=Path, help="folder that keeps caches and bundles between calls")
    parser.add_argument("--page", action="store_true", help="only rewrite the page")
    options = parser.parse_args()
    if not options.page:
        work = options.work or Path(tempfile.mkdtemp())
        for phase in options.phase or PHASES:
            row = measure(phase, options.matrix, work.resolve())
            print(json.dumps(row), flush=True)
            keep(row)
    page()


def measure(phase: str, matrix: str, work: Path) -> dict[str, Any]:
    """Run one phase below `work`; `local` comes first, because the others are compared with it."""
    file = Path(__file__).with_name(f"{matrix}.yaml")
    first = Place(file, work / "cache-local", work / "local")
    found: dict[str, Any]
    if phase == "local":
        found, made = run(first, "--jobs", "2") | {"what": "local pool, 2 workers, empty cache"}, [first]
    elif phase == "second":
        made = [Place(file, first.cache, work / "second")]
        found = run(made[0], "--jobs", "2") | {"what": "again, into an empty folder, from the cache"}
    elif phase == "resume":
        made, found = [first], run(first, "--jobs", "2") | {"what": "again, into the same folder"}
    elif phase == "ray":
        made = [Place(file, work / "cache-ray", work / "ray")]
        with cluster() as address:
            found = run(made[0], "--on", "ray", RAY_ADDRESS=address)
            del found["cpu_seconds"]  # Ray's workers are no children of the driver
            found |= {"what": "Ray, 2 nodes of 1 processor, empty cache"}
    elif phase == "killed":
        made = [Place(file, work / "cache-killed", work / "killed")]
        os.environ["PLANS"] = str(len(first.lowered()))
        found = killed(made[0], "--jobs", "2") | {"what": "empty cache; a worker, then the driver killed; run again"}
    else:
        made = [Place(file, work / "cache-eight", work / f"eight{number}") for number in range(8)]
        found = eight(made) | {"what": "8 sweeps at once on one empty cache"}
    wanted = first.hashes()
    return found | {"matrix": matrix, "phase": phase, "equal": all(place.hashes() == wanted for place in made)}


def eight(places: list[Place]) -> dict[str, Any]:
    """Eight sweeps with one worker each; the figures are those of the last to end."""
    load, began = os.getloadavg()[0], time.monotonic()
    running = [place.start("--jobs", "1") for place in places]
    figures = [finish(each, began) for each in running]
    return {**figures[-1], "lowered": len(places[0].lowered()), "busy": f"{load:.0f}–{os.getloadavg()[0]:.0f}"}


def keep(row: dict[str, Any]) -> None:
    """Replace the row of the same matrix and phase in the results."""
    rows = {(each["matrix"], each["phase"]): each for each in read("sweep")["rows"]} | {(row["matrix"], row["phase"]): row}
    save("sweep", [rows[key] for key in sorted(rows, key=lambda key: (key[0], PHASES.index(key[1])))])


def page() -> None:
    """Rewrite what follows the heading on docs/sweep.md."""
    document = read("sweep")
    before = PAGE.read_text("utf-8").partition(HEADING)[0]
    rows = [row | {"equal": "yes" if row["equal"] else "NO"} for row in document["rows"]]
    note = (
        "Matrices: 3 models × 8 devices × 2 targets (tflite, executorch) × 3 budgets = 144 cells; `small` are three networks of "
        "4 to 6 layers, `examples` the three examples. Equal means the sha256 of every file of every bundle and of `sweep.json`. "
        "The machine was shared: the load says how many processes wanted its two processors when a run began and ended; "
        "processor seconds do not depend on it (those of Ray's workers and of killed runs are not known). A run from the cache "
        "still starts Python, imports torch, reads the calibration data and exports every model once, so that a changed one is "
        "noticed: about 3 processor seconds per worker and 2 to 5 per model, whatever the cells cost, which is why the tiny "
        "models of `small` gain less."
    )
    text = "\n\n".join((intro("benchmarks.sweeping", document), note, table(rows, COLUMNS)))
    PAGE.write_text(f"{before}{HEADING}\n{text}\n")


if __name__ == "__main__":
    main()
