"""The rivals' stock recipes on the example models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.isolated import measure
from benchmarks.results_file import intro, read, save, table, write_page
from benchmarks.rivals import coreml, executorch, litert

RIVALS = {"litert": litert.RECIPES, "executorch": executorch.RECIPES, "coreml": coreml.RECIPES}
COLUMNS = {
    "rival": "rival", "recipe": "recipe", "bytes": "MB", "kl": "KL", "cosine": "cosine",
    "agreement": "top-1 as float", "metric": "task metric", "host_ms": "ms here", "seconds": "seconds",
    "load": "load", "error": "failure",
}  # fmt: skip
Job = tuple[str, str, str]
"""Case, rival, recipe."""


def jobs(cases: Iterable[str], rivals: Sequence[str], recipes: Sequence[str] | None = None) -> list[Job]:
    """Return what to measure; `recipes` None: all of them."""
    return [
        (case, rival, recipe)
        for case in cases
        for rival in rivals
        for recipe in RIVALS[rival]
        if not recipes or recipe in recipes
    ]


def run(wanted: Iterable[Job], timeout: float) -> None:
    """Measure each job in its own process; keep earlier rows of the others."""
    rows = {(row["case"], row["rival"], row["recipe"]): row for row in read("rivals")["rows"]}
    with TemporaryDirectory() as folder:
        for job in wanted:
            case, rival, recipe = job
            asked = {"case": case, "rival": rival, "recipe": recipe, "folder": str(Path(folder))}
            load = os.getloadavg()[0]
            row = measure("benchmarks.rivals.worker", asked, timeout)
            rows[job] = {key: value for key, value in row.items() if key != "folder"} | {"load": load}
            print(json.dumps(rows[job]), flush=True)
            save("rivals", [rows[key] for key in sorted(rows)])


def page() -> None:
    """Write `docs/benchmarks/rivals.md` from the results."""
    document = read("rivals")
    parts = []
    for case in dict.fromkeys(row["case"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["case"] == case]
        used = {key: head for key, head in COLUMNS.items() if any(key in row for row in rows)}
        parts.append(f"## {case}\n\n{table(rows, used)}")
    note = (
        "Quality is against the float model on inputs that no calibration saw. Seconds are for building, on "
        "a shared machine: read them as ratios; LiteRT's recipes share the conversion of their `float` row. "
        "A Core ML package's quality comes from this project's reference evaluator."
    )
    title = "The rivals' stock recipes on the example models"
    write_page("rivals", title, intro("benchmarks.rivals", document), note, *parts)
