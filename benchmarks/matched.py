"""The SDK's bundle at the very bytes of every rival's stock recipe, both executed: `python -m benchmarks.matched`.

The rivals' rows are those of `benchmarks.rivals`. Recipes that leave the model float have no row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cases import CASES
from benchmarks.isolated import measure
from benchmarks.results_file import intro, read, save, table, write_page

TARGETS = {"litert": "tflite", "executorch": "executorch", "coreml": "coreml"}
FLOAT = ("float", "float16", "FP32")
"""Recipes that change no width: there is nothing to plan at their bytes."""

EXACT = 1e-9
"""Loss below which a file is the float model, whatever its recipe is called."""

COLUMNS = {
    "case": "example", "target": "runtime", "recipe": "rival's recipe", "bytes": "MB", "loss": "loss", "our_bytes": "our MB",
    "our_loss": "our loss", "times": "times less", "error": "why not",
}  # fmt: skip


def main() -> None:
    """Package at the bytes of each recipe and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this model (repeatable)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one row may take")
    parser.add_argument("--page", action="store_true", help="only write the page from the results")
    options = parser.parse_args()
    for case in () if options.page else options.case or CASES:
        run(case, options.timeout)
    page()


def run(case: str, timeout: float) -> None:
    """Package the case at the bytes of each recipe, in a process each; all share one cache of scores."""
    rows = {_key(row): row for row in read("matched")["rows"]}
    with TemporaryDirectory() as cache:
        for rival in rivals(case):
            job = {"case": case, "target": TARGETS[rival["rival"]], "max_size": rival["bytes"]}
            found = measure("benchmarks.packaged", job, timeout, Path(cache))
            ours = {key: found[name] for key, name in _OURS.items() if name in found}
            made = {"case": case, "target": job["target"], "recipe": rival["recipe"], "bytes": rival["bytes"], **ours}
            if "error" not in made:
                made["our_loss"] = _loss(found)
            rows[_key(made)] = made | {"loss": _loss(rival)}
            print(json.dumps(rows[_key(made)]), flush=True)
            save("matched", sorted(rows.values(), key=lambda row: (list(CASES).index(row["case"]), row["target"], row["bytes"])))


_OURS = {"our_bytes": "bytes", "error": "error"}


def rivals(case: str) -> Iterator[dict[str, Any]]:
    """Rows of the stock recipes that made a file of the case which is not the float model."""
    for row in read("rivals")["rows"]:
        if row["case"] == case and "bytes" in row and row["recipe"] not in FLOAT and _loss(row) > EXACT:
            yield row


def _loss(row: dict[str, Any]) -> float:
    return 1 - float(row["cosine"]) if "cosine" in row else float(row.get("kl", row.get("mse")))


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["case"], row["target"], row["recipe"]


def page() -> None:
    """Write the page from the rows."""
    document = read("matched")
    rows, ratios = [], []
    for row in document["rows"]:
        ours = row.get("our_loss")
        times = row["loss"] / ours if ours else None
        ratios += [ours / row["loss"]] if ours is not None else []
        rows.append(row | {"times": f"{times:.1f}" if times is not None else None})
    said = (
        f"At {sum(ratio < 1 for ratio in ratios)} of {len(ratios)} sizes the bundle loses less than the recipe; in the median "
        f"its loss is {median(ratios):.2g} of the recipe's (worst {max(ratios):.2g})."
    ) if ratios else ""  # fmt: skip
    write_page(
        "matched", "At the bytes of the rivals' stock recipes", intro("benchmarks.matched", document),
        "Finished files, executed by their own runtimes (Core ML packages by this project's evaluator) on inputs that no "
        "calibration saw. Loss is KL, or 1 - cosine for the sentence encoder, against the float model. The bundle is what "
        "`sdk package --max-size` makes of the recipe's bytes.",
        said, table(rows, COLUMNS),
    )  # fmt: skip


if __name__ == "__main__":
    main()
