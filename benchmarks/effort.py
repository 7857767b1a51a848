"""What refinement by measurement buys: the smallest file within a loss, by the sum of the layers and by `--effort`.

    python -m benchmarks.effort [CASE …]       measures these cases (default: all) and writes docs/benchmarks/effort.md
    python -m benchmarks.effort --page         writes the page from the rows

Losses are those of the quantized model in torch: on calibration samples that did not round it (what a plan predicts where it was
tried), and on unseen inputs.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from benchmarks.cases import CASES, DEVICES, Case
from benchmarks.results_file import intro, read, save, table, write_page

INPUTS = 120
LIMITS = {"photo-classifier": 0.02, "sentence-encoder": 0.02, "page-orientation": 0.005}
COLUMNS = {
    "case": "example", "target": "target", "limit": "max_loss", "effort": "--effort", "bytes": "MB", "summed": "sum of layers",
    "predicted": "predicted", "unseen": "measured, unseen", "seconds": "processor s",
}  # fmt: skip


def rows_of(case: Case) -> Iterator[dict[str, Any]]:
    """A row per target and effort."""
    import torch

    from sdk.pipeline import Request, Workbench, make_plan
    from sdk.pipeline.together import quantized_by
    from sdk.planning import summed
    from sdk.progress import SilentReporter
    from sdk.quantize import reference
    from sdk.sensitivity import measure

    report, bench = SilentReporter(), None
    for target, device in DEVICES.items():
        for effort in ("quick", "standard", "thorough"):
            request = Request(
                model=case.reference, device=device, target=target, calibration=case.calibration, loss=case.loss,
                max_loss=LIMITS[case.name], effort=effort,
            )  # fmt: skip
            bench = bench or Workbench(request, report)
            started = time.process_time()
            plan = make_plan(request, report, bench).plan
            seconds = time.process_time() - started
            run, module = reference(quantized_by(plan, bench, report)), bench.model.module()
            with torch.no_grad():
                losses = [measure(bench.loss, tuple(module(*x)), run(*x)) for x in case.held_out[:INPUTS]]
            yield {
                "case": case.name, "target": target, "limit": LIMITS[case.name], "effort": effort,
                "bytes": plan.predicted.artifact_bytes, "summed": summed(plan), "predicted": plan.predicted.loss,
                "unseen": sum(losses) / len(losses), "seconds": seconds,
            }  # fmt: skip


def page() -> None:
    """Write the page from the rows."""
    document = read("effort")
    write_page(
        "effort", "What effort buys", intro("benchmarks.effort", document),
        f"The smallest file within a loss; {INPUTS} unseen inputs. The seconds of `quick` include scoring and prices where the "
        "cache had none; those of the others come on top.",
        table(document["rows"], COLUMNS),
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    """Measure the cases named, or all."""
    warnings.filterwarnings("ignore")
    for name in [each for each in arguments if each != "--page"] or ([] if arguments else list(CASES)):
        kept = [row for row in read("effort")["rows"] if row["case"] != name]
        found: list[dict[str, Any]] = []
        for row in rows_of(CASES[name]):
            print(row, flush=True)
            found.append(row)
            save("effort", sorted([*kept, *found], key=lambda row: list(CASES).index(row["case"])))
    page()


if __name__ == "__main__":
    main(sys.argv[1:])
