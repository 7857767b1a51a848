"""Every example for every runtime, beside the rivals' stock recipes: `python -m benchmarks.bundles`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import rivals
from benchmarks.cases import CASES
from benchmarks.isolated import measure
from benchmarks.results_file import intro, read, save, table, write_page

BUDGETS = (
    ("photo-classifier", "tflite", 5_050_000, None),
    ("photo-classifier", "tflite", 4_400_000, None),
    ("photo-classifier", "executorch", 6_000_000, None),
    ("photo-classifier", "executorch", 5_200_000, None),
    ("photo-classifier", "coreml", 4_000_000, None),
    ("photo-classifier", "coreml", 3_000_000, None),
    ("photo-classifier", "coreml", 2_421_000, None),
    ("photo-classifier", "coreml", 2_421_000, 18.0),
    ("sentence-encoder", "tflite", 13_100_000, None),
    ("sentence-encoder", "executorch", 13_100_000, None),
    ("sentence-encoder", "coreml", 13_100_000, None),
    ("sentence-encoder", "coreml", 11_422_000, 18.0),
    ("page-orientation", "tflite", 2_000_000, None),
    ("page-orientation", "executorch", 2_200_000, None),
    ("page-orientation", "coreml", 1_200_000, None),
    ("page-orientation", "coreml", 484_000, None),
)
"""Case, target, bytes that the finished file may have, OS where it is newer than the one that the device is sold with."""

COLUMNS = {
    "target": "target", "os": "OS", "max_bytes": "budget MB", "float_bytes": "float32 weights MB", "bytes": "bundle MB",
    "predicted_bytes": "predicted MB", "size_error": "predicted / real − 1", "kl": "KL", "cosine": "cosine",
    "agreement": "top-1 as float", "loss_predicted": "predicted loss", "loss_measured": "measured loss",
    "metric_float": "task metric, float", "metric_artifact": "task metric, bundle",
    "relative_error": "artifact vs quantized torch", "static": "static int8", "seconds": "seconds", "load": "load",
    "error": "failure",
}  # fmt: skip
BESIDE = {
    "tool": "tool", "recipe": "recipe", "bytes": "MB", "kl": "KL", "cosine": "cosine",
    "agreement": "top-1 as float", "metric": "task metric", "error": "failure",
}  # fmt: skip
TOOLS = {"tflite": "litert", "executorch": "executorch", "coreml": "coreml"}


def main() -> None:
    """Measure bundles and rivals in one run, then write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this model (repeatable)")
    parser.add_argument("--target", action="append", choices=TOOLS, help="only this runtime (repeatable)")
    parser.add_argument("--no-rivals", action="store_true", help="keep the rivals' earlier rows")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds that one row may take")
    parser.add_argument("--cache", type=Path, help="folder whose scores are used; else a fresh one for each model")
    parser.add_argument("--table", action="store_true", help="only rewrite the pages from the results")
    options = parser.parse_args()
    cases, targets = options.case or list(CASES), options.target or list(TOOLS)
    for case in () if options.table else cases:
        if not options.no_rivals:
            rivals.run(rivals.jobs([case], [TOOLS[target] for target in targets]), options.timeout)
        run([job for job in BUDGETS if job[0] == case and job[1] in targets], options.timeout, options.cache)
    rivals.page()
    page()


def run(jobs: list[tuple[str, str, int, float | None]], timeout: float, cache: Path | None) -> None:
    """Package each job in a process of its own; keep earlier rows of the others. One case shares its scores."""
    rows = {_key(row): row for row in read("bundles")["rows"]}
    with TemporaryDirectory() as fresh:
        for key in jobs:
            job = dict(zip(("case", "target", "max_size", "min_os"), key, strict=True))
            load = os.getloadavg()[0]
            rows[key] = {**measure("benchmarks.packaged", job, timeout, cache or Path(fresh)), "load": load}
            print(json.dumps(rows[key]), flush=True)
            save("bundles", [rows[key] for key in BUDGETS if key in rows])


def page() -> None:
    """Write the bundles' own table and the one beside the rivals."""
    document = read("bundles")
    rows = [_shown(row) for row in document["rows"]]
    own, beside = [], []
    for case in dict.fromkeys(row["case"] for row in rows):
        found = [row for row in rows if row["case"] == case]
        own.append(f"## {case}\n\n{_table(found, COLUMNS)}")
        beside.append(f"## {case}\n\n{_table(_beside(case, found), BESIDE)}")
    note = (
        "Each bundle was made by `sdk.package` in a process of its own; the rows of one model share the cache of "
        "scores, so the first pays for the others. Seconds exclude the benchmark's own imports and were taken at the "
        "load shown, on two cores: read them as ratios. KL, cosine and agreement are against the float model on inputs that no "
        "calibration saw; predicted and measured loss are on calibration data, as the manifest has them."
    )
    made = intro("benchmarks.bundles", document)
    write_page("bundles", "The examples on every runtime", made, note, *own)
    write_page("comparison", "Bundles beside the rivals' stock recipes", made, *beside)


def _beside(case: str, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one case by runtime and size, ours among the rivals'."""
    ours = [
        row | {"tool": f"**sdk {row['target']}**", "recipe": f"≤ {row['max_size'] / 1e6:g} MB{_newer(row)}"} for row in own
    ]
    names = {rival: target for target, rival in TOOLS.items()}
    theirs = [
        row | {"tool": row["rival"], "target": names[row["rival"]]}
        for row in read("rivals")["rows"]
        if row["case"] == case
    ]
    return sorted([*ours, *theirs], key=lambda row: (row["target"], row.get("bytes") or 0, row["recipe"]))


def _newer(row: dict[str, Any]) -> str:
    return "" if row["os"] is None else f", OS {row['os']}"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    newer = row["min_os"]
    shown = row | {
        "os": None if newer is None else f"{newer:g}", "max_bytes": row["max_size"], "metric": row.get("metric_artifact"),
    }  # fmt: skip
    if "bytes" in row:
        shown["size_error"] = f"{row['predicted_bytes'] / row['bytes'] - 1:+.3%}"
        shown["static"] = "yes" if row["static"] else "no"
    return shown


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    return table(rows, {key: head for key, head in columns.items() if any(key in row for row in rows)})


def _key(row: dict[str, Any]) -> tuple[str, str, int, float | None]:
    return row["case"], row["target"], row["max_size"], row["min_os"]


if __name__ == "__main__":
    main()
