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

from benchmarks.cases import CASES, DEVICES, EXAMPLES
from benchmarks.isolated import measure, work
from benchmarks.results_file import intro, read, save, table, write_page

MAX_SIZE = {"executorch": 6_000_000, "tflite": 5_050_000, "coreml": 4_000_000}
ALLOWED = 180.0
"""Seconds that all three may take together on two idle cores."""

ALL = "all targets"
"""Heading of what is done once for all of them."""


def main() -> None:
    """Package for all targets in a fresh process with an empty cache, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="photo-classifier", choices=CASES)
    options = parser.parse_args()
    row = measure("benchmarks.speed", {"case": options.case}, 1800)
    print(json.dumps(row), flush=True)
    save("speed", [row])
    page()


def stages(case: str) -> dict[str, Any]:
    """Package as one `sdk package` for all targets does; return the seconds of each stage without those inside it."""
    warnings.filterwarnings("ignore")
    started = time.perf_counter()
    from sdk.pipeline import Request, Workbench, package, pricing_ahead, score_together

    reporter = _stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        requests = [
            Request(
                model=f"model.py:{CASES[case].factory}", device=DEVICES[target], target=target, max_size=max_size,
                calibration="data.py:calibration", metric="data.py:metric", loss=CASES[case].loss,
                folder=EXAMPLES / case, out=Path(folder) / target,
            )
            for target, max_size in MAX_SIZE.items()
        ]
        workbench = Workbench(requests[0], reporter)
        with pricing_ahead(requests, workbench):
            score_together(requests, workbench)
            for request in requests:
                with reporter.part(request.target):
                    package(request, reporter, workbench)
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
            self._part = ALL

        @contextmanager
        def part(self, name: str) -> Iterator[None]:
            """File the stages of the block under `name`."""
            self._part = name
            yield
            self._part = ALL

        @contextmanager
        def stage(self, name: str, total: int | None = None) -> Iterator[Reporter]:
            started = time.perf_counter()
            self._inner.append(0.0)
            try:
                yield self
            finally:
                spent = time.perf_counter() - started
                key = f"{self._part}: {_general(name)}"
                self.seconds[key] = self.seconds.get(key, 0.0) + spent - self._inner.pop()
                self._inner[-1] += spent

    return Stopwatch()


def page() -> None:
    """Write the page: stages by target, and the sum against what is allowed."""
    document = read("speed")
    row = document["rows"][0]
    found = {tuple(key.split(": ", 1)): seconds for key, seconds in row.get("stages", {}).items() if key != "rest"}
    columns = [ALL, *MAX_SIZE]
    lines = [
        {"stage": name, **{f"{part} seconds": found.get((part, name)) for part in columns}}
        for name in dict.fromkeys(name for _, name in found)
    ]
    heads = {"stage": "stage", **{f"{part} seconds": part for part in columns}}
    said = (
        f"One process, no cache: {row['wall_seconds']:.0f} s in all; {ALLOWED:.0f} s are allowed on two idle cores. Loading, "
        "planning and the task metric on three models are included. While the first process scores, a second one prices "
        f"for the targets. {row.get('stages', {}).get('rest', 0):.0f} s are in no stage: starting, and writing files."
    )
    failed = [row["error"]] if "error" in row else []
    parts = (intro("benchmarks.speed", document), said, table(lines, heads), *failed)
    write_page("speed", "EfficientNet-Lite0 to three bundles", *parts)


def _general(stage: str) -> str:
    """Stages named after their target become one line."""
    for target in MAX_SIZE:
        stage = stage.replace(f" for {target}", "").replace(f" to {target}", "")
    return stage


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(stages)
    else:
        main()
