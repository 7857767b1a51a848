"""EfficientNet-Lite0 to all three bundles, cold, and where the time goes: `python -m benchmarks.speed`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, EXAMPLES
from benchmarks.isolated import measure, work
from benchmarks.packaged import DEVICES
from benchmarks.results_file import intro, read, save, table, write_page

MAX_SIZE = {"executorch": 6_000_000, "tflite": 5_050_000, "coreml": 4_000_000}
ALLOWED = 180.0
"""Seconds that all three may take together on two idle cores."""


def main() -> None:
    """Time each target in a fresh process with empty caches, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="photo-classifier", choices=CASES)
    parser.add_argument("--target", action="append", choices=MAX_SIZE, help="only this runtime (repeatable)")
    options = parser.parse_args()
    rows = {row["target"]: row for row in read("speed")["rows"]}
    for target in options.target or MAX_SIZE:
        job = {"case": options.case, "target": target, "max_size": MAX_SIZE[target]}
        rows[target] = measure("benchmarks.speed", job, 1800)
        print(json.dumps(rows[target]), flush=True)
        save("speed", [rows[key] for key in MAX_SIZE if key in rows])
    page()


def stages(case: str, target: str, max_size: int) -> dict[str, Any]:
    """Package once and return the seconds of each stage, without those of the stages inside it."""
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    from sdk.pipeline import Request, package

    reporter = _stopwatch()
    example = EXAMPLES / case
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            model=f"model.py:{CASES[case].factory}", device=DEVICES[target], target=target, max_size=max_size,
            calibration="data.py:calibration", metric="data.py:metric", loss=CASES[case].loss,
            folder=example, out=Path(folder) / "bundle",
        )
        package(request, reporter)
    total = time.perf_counter() - started
    return {"seconds": total, "stages": {**reporter.seconds, "rest": total - sum(reporter.seconds.values())}}


def _stopwatch() -> Any:
    from sdk.progress import Reporter

    class Stopwatch(Reporter):
        """Adds up the seconds of each stage; a stage inside another counts for itself alone."""

        def __init__(self) -> None:
            super().__init__()
            self.seconds: dict[str, float] = {}
            self._inner = [0.0]

        @contextmanager
        def stage(self, name: str, total: int | None = None) -> Iterator[Reporter]:
            started = time.perf_counter()
            self._inner.append(0.0)
            try:
                yield self
            finally:
                spent = time.perf_counter() - started
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
                self._inner[-1] += spent

    return Stopwatch()


def page() -> None:
    """Write the page: stages by target, and the sum against what is allowed."""
    document = read("speed")
    rows = document["rows"]
    names = list(dict.fromkeys(_general(name) for row in rows for name in row.get("stages", {})))
    columns = {f"{row['target']} seconds": row for row in rows}
    lines = [{"stage": name, **{key: _spent(row, name) for key, row in columns.items()}} for name in names]
    lines.append({"stage": "**process**", **{key: row["wall_seconds"] for key, row in columns.items()}})
    heads = {"stage": "stage", **{key: row["target"] for key, row in columns.items()}}
    total = sum(row["wall_seconds"] for row in rows)
    said = (
        f"Fresh processes, no cache: {total:.0f} s in all; {ALLOWED:.0f} s are allowed on two idle cores. "
        "Planning and the task metric on three models are included."
    )
    failed = [f"{row['target']}: {row['error']}" for row in rows if "error" in row]
    parts = (intro("benchmarks.speed", document), said, table(lines, heads), *failed)
    write_page("speed", "EfficientNet-Lite0 to three bundles", *parts)


def _general(stage: str) -> str:
    """Stages named after their target become one line."""
    for target in MAX_SIZE:
        stage = stage.replace(f" for {target}", "").replace(f" to {target}", "")
    return stage


def _spent(row: dict[str, Any], name: str) -> float | None:
    found = [seconds for stage, seconds in row.get("stages", {}).items() if _general(stage) == name]
    return sum(found) if found else None


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(stages)
    else:
        main()
