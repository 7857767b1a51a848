"""One rival, one recipe, one case: a recipe that crashes takes nothing with it."""

from __future__ import annotations

import importlib
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, size
from benchmarks.isolated import sentence, work
from benchmarks.measures import quality


def judge(case: str, rival: str, recipe: str, folder: str) -> dict[str, Any]:
    """Build and judge one artifact; `seconds` is the time to build it."""
    warnings.filterwarnings("ignore")
    chosen, tool = CASES[case], importlib.import_module(f"benchmarks.rivals.{rival}")
    chosen.loaded, chosen.calibration  # noqa: B018  loading is not the rival's time
    started = time.perf_counter()
    try:
        path = tool.build(chosen, recipe, Path(folder))
    except Exception as error:
        return {"error": f"build: {sentence(error)}", "seconds": time.perf_counter() - started}
    row = {"seconds": time.perf_counter() - started, "bytes": size(path)}
    try:
        return row | quality(chosen, tool.open_artifact(path))
    except Exception as error:
        return row | {"error": f"run: {sentence(error)}"}


if __name__ == "__main__":
    work(judge)
