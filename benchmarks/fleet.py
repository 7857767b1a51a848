"""A fleet of all shipped devices in at most four variants, against a bundle per device and one bundle for all.

    python -m benchmarks.fleet [CASE …]      packages, verifies and adds the rows of these cases (default: all)
    python -m benchmarks.fleet --page        writes docs/benchmarks/fleet.md from the rows
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import results_file
from benchmarks.cases import CASES, EXAMPLES, Case

MOST = 4
FLEET = "Three ways to ship each example to all shipped devices, each device counting the same."
SAID = (
    "The fleet's files are real: lowered, executed in their runtimes, compared, read back, and checked again by "
    "`sdk verify`. The two other ways are planned with the same exact solver and prices, not lowered: a bundle per "
    "device is each device's cheapest variant, one bundle for all the cheapest that every device can have. "
    "`price` is the loss plus the download at the rate shown, in which the choice is exact. "
    "`all files`: megabytes that are built and stored; `download`: what a device gets, on average."
)


@dataclass(frozen=True)
class Prepared:
    """A case ready to choose for: the request, the workbench and the chooser."""

    request: Any
    bench: Any
    chooser: Any
    report: Any


def prepare(case: Case) -> Prepared:
    from sdk.config import load_project
    from sdk.devices import list_devices
    from sdk.pipeline import Request, Workbench
    from sdk.progress import Reporter
    from sdk.release.fleet import chooser_of, even_fleet, members_of

    report = Reporter()
    budgets = load_project(EXAMPLES / case.name / "sdk.yaml").budgets
    request = Request(
        model=case.reference, device="", calibration=case.calibration, max_size=budgets.max_size, loss=case.loss,
        command=f"sdk package {case.name} --fleet (all shipped devices)",
    )
    fleet = even_fleet([device.name for device in list_devices() if device.name != "host"], MOST)
    bench = Workbench(request, report)
    return Prepared(request, bench, chooser_of(fleet, members_of(fleet, request), bench, report), report)


def rows_of(case: Case) -> list[dict[str, Any]]:
    """Package the fleet of a case and return its three rows."""
    started = time.perf_counter()
    ready = prepare(case)
    alone = ready.chooser.alone()
    choice = ready.chooser.choose(MOST)
    planned = time.perf_counter() - started
    one = choice.steps[0]
    size = sum(4 * layer.parameters for layer in ready.bench.model.inventory.layers)
    rows = [
        {"case": case.name, "way": "a bundle per device", "files": len(alone), "origin": "predicted",
         "download_bytes": math.fsum(m.share * c.bytes for m, c in alone), "total_bytes": sum(c.bytes for _, c in alone),
         "loss_predicted": math.fsum(m.share * c.loss for m, c in alone)},
        {"case": case.name, "way": "one bundle for all", "files": 1, "origin": "predicted", "download_bytes": one.bytes,
         "total_bytes": one.total_bytes, "loss_predicted": one.loss},
    ]  # fmt: skip
    if one.loss is None:
        rows[1] |= {"way": "one bundle for all: none fits", "files": None}
    rows.insert(1, _fleet_row(case, ready))
    for row in rows:
        if row["loss_predicted"] is not None:
            row["price"] = row["loss_predicted"] + choice.rate * row["download_bytes"]
    rows[1] |= {"plan_seconds": planned, "seconds": time.perf_counter() - started, "rate_per_mb": choice.rate * 1e6,
                "float_bytes": size, "loss_name": ready.bench.loss}  # fmt: skip
    return rows


def _fleet_row(case: Case, ready: Prepared) -> dict[str, Any]:
    from sdk.pipeline import verify_bundle
    from sdk.release.fleet import package_fleet

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "fleet"
        made = package_fleet(ready.chooser, MOST, ready.request, out, ready.report, ready.bench)
        verified = [all(found.ok for found in verify_bundle(out / each.id, ready.report)) for each in made.variants]
    devices = len(made.devices)
    return {
        "case": case.name, "way": "the fleet", "files": len(made.variants), "origin": "measured",
        "verified": f"{sum(verified)} of {len(verified)}",
        "download_bytes": math.fsum(each.bytes * len(each.devices) for each in made.variants) / devices,
        "total_bytes": sum(each.bytes for each in made.variants),
        "loss_predicted": math.fsum(each.predicted_loss * len(each.devices) for each in made.variants) / devices,
        "loss_measured": math.fsum(each.measured_loss * len(each.devices) for each in made.variants) / devices,
        "variants": [each.model_dump(mode="json") for each in made.variants],
        "steps": [each.model_dump(mode="json") for each in made.steps],
    }  # fmt: skip


WAYS = {
    "case": "example", "way": "way", "files": "files", "verified": "verified", "total_bytes": "all files, MB",
    "download_bytes": "download, MB", "loss_predicted": "loss, predicted", "loss_measured": "loss, measured", "price": "price",
}  # fmt: skip
VARIANTS = {
    "case": "example", "id": "variant", "min_os": "OS from", "bytes": "MB", "predicted_loss": "loss, predicted",
    "measured_loss": "loss, measured", "measured_by": "measured by", "devices": "devices",
}  # fmt: skip
STEPS = {
    "case": "example", "variants": "variants", "loss": "loss", "bytes": "download, MB", "total_bytes": "all files, MB",
    "price": "price",
}  # fmt: skip


def page() -> None:
    """Write the page from the rows on disk."""
    document = results_file.read("fleet")
    rows = document["rows"]
    fleets = [row for row in rows if row["way"] == "the fleet"]
    variants = [
        {"case": row["case"], **each, "devices": ", ".join(each["devices"])} for row in fleets for each in row["variants"]
    ]  # fmt: skip
    steps = [{"case": row["case"], **each} for row in fleets for each in row["steps"]]
    rates = "; ".join(
        f"{row['case']}: {row['rate_per_mb']:.2g} of {row['loss_name']} per MB, planned in {row['plan_seconds']:.0f} s, "
        f"all in {row['seconds']:.0f} s" for row in fleets
    )
    results_file.write_page(
        "fleet", "Fleets", results_file.intro("benchmarks.fleet", document), f"{FLEET} {SAID}",
        results_file.table(rows, WAYS), "## The variants", results_file.table(variants, VARIANTS),
        "## What each further variant buys", "Predicted, as `sdk package --fleet` prints it.",
        results_file.table(steps, STEPS), f"Rates and seconds (one busy machine): {rates}.",
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    warnings.filterwarnings("ignore")
    for name in [each for each in arguments if each != "--page"] or ([] if arguments else list(CASES)):
        kept = [row for row in results_file.read("fleet")["rows"] if row["case"] != name]
        results_file.save("fleet", sorted([*kept, *rows_of(CASES[name])], key=lambda row: list(CASES).index(row["case"])))
        print(f"{name}: done")
    page()


if __name__ == "__main__":
    main(sys.argv[1:])
