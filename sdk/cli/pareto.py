"""`sdk plan --pareto`: the whole front from one scoring, as a table, a CSV and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sdk.pipeline import Planned

_HEADER = "bytes,loss,"


def check_pareto(path: Path) -> None:
    """Refuse, before the work, a place that cannot be written or another file's; Missing where nothing can draw."""
    from sdk.errors import BadInput
    from sdk.report import check_place, drawing_toolkit

    if path.suffix.lower() != ".csv":
        raise BadInput(f"--pareto {path}: does not end with .csv: name a file such as front.csv; the picture goes beside it")
    check_place(path, "--pareto", (_HEADER,))
    check_place(path.with_suffix(".svg"), "--pareto", ("<svg",))
    drawing_toolkit()


def write_pareto(planned: Planned, path: Path) -> dict[str, Any]:
    """Write the CSV to `path` and the picture beside it; return the front as JSON data."""
    from dataclasses import asdict

    from sdk.files import write_whole
    from sdk.planning import front
    from sdk.report import pareto_csv, pareto_svg, points_of
    from sdk.report.numbers import UNITS

    points, plan = points_of(front(planned.problem)), planned.plan
    unit = UNITS.get(plan.loss, plan.loss)
    picture = pareto_svg(points, unit, plan.predicted.artifact_bytes, plan.predicted.loss, plan.budgets.max_size)
    write_whole(path, pareto_csv(points))
    write_whole(path.with_suffix(".svg"), picture)
    return {
        "points": [asdict(point) for point in points], "loss_unit": unit, "origin": "predicted",
        "csv": str(path), "picture": str(path.with_suffix(".svg")),
    }  # fmt: skip


def show_pareto(front: dict[str, Any]) -> None:
    """Print the front, its knee and where it was written."""
    from sdk.cli.output import print_facts, print_table
    from sdk.report.numbers import significant
    from sdk.units import format_size

    rows = [
        (format_size(p["bytes"]), f"{p['bytes']:,}", significant(p["loss"]), significant(p["saves_per_kb"]),
         "knee" if p["knee"] else "")
        for p in front["points"]
    ]  # fmt: skip
    columns = ("size", "bytes", f"loss ({front['loss_unit']})", "saved by the next kB", "")
    print_table(columns, rows, "Pareto front, predicted", "size bytes")
    click.echo()
    found = next((p for p in front["points"] if p["knee"]), None)
    where = f"{format_size(found['bytes'])}, loss {significant(found['loss'])}" if found else "none, too few points"
    print_facts([
        ("knee", f"{where} (Kneedle, Satopää et al. 2011, over the points of loss 1 or less)"),
        ("written to", f"{front['csv']} and {front['picture']}"),
    ])
