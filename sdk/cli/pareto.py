"""`sdk plan --pareto`: the whole front from one scoring, as a table, a CSV and a picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sdk.pipeline import Axis, Planned, Trade
    from sdk.planning import Plan

_HEADERS = ("bytes,loss,", "latency_ms,loss,")


def check_pareto(path: Path) -> None:
    """Refuse, before the work, a place that cannot be written or another file's; Missing where nothing can draw."""
    from sdk.errors import BadInput
    from sdk.report import check_place, drawing_toolkit

    if path.suffix.lower() != ".csv":
        raise BadInput(f"--pareto {path}: does not end with .csv: name a file such as front.csv; the picture goes beside it")
    check_place(path, "--pareto", _HEADERS)
    check_place(path.with_suffix(".svg"), "--pareto", ("<svg",))
    drawing_toolkit()


def write_pareto(planned: Planned, path: Path, axis: Axis) -> dict[str, Any]:
    """Write the CSV to `path` and the picture beside it; return the front as JSON data."""
    from sdk.files import write_whole
    from sdk.report.numbers import UNITS

    trades, plan = planned.front(axis), planned.plan
    unit = UNITS.get(plan.loss, plan.loss)
    points, table, picture = (_sizes if axis == "size" else _latencies)(trades, plan, unit)
    write_whole(path, table)
    write_whole(path.with_suffix(".svg"), picture)
    return {
        "axis": axis, "points": points, "within": _others(plan, axis), "loss_unit": unit, "origin": "predicted",
        "csv": str(path), "picture": str(path.with_suffix(".svg")),
    }  # fmt: skip


def _sizes(trades: tuple[Trade, ...], plan: Plan, unit: str) -> tuple[list[dict[str, Any]], str, str]:
    from sdk.planning import FrontPoint
    from sdk.report import pareto_csv, pareto_svg, points_of

    points = points_of(tuple(FrontPoint(each.bytes, each.loss, each.price) for each in trades))
    picture = pareto_svg(points, unit, plan.predicted.artifact_bytes, plan.predicted.loss, plan.budgets.max_size)
    return [asdict(point) for point in points], pareto_csv(points), picture


def _latencies(trades: tuple[Trade, ...], plan: Plan, unit: str) -> tuple[list[dict[str, Any]], str, str]:
    from sdk.planning import knee
    from sdk.report import TimedPoint, timed_csv, timed_svg

    best = knee(trades, lambda trade: trade.at("latency"))
    points = [TimedPoint(each.at("latency"), each.loss, each.bytes, each.price, each == best) for each in trades]
    found = plan.predicted.latency
    picture = timed_svg(points, unit, found.value if found else 0.0, plan.predicted.loss, plan.budgets.max_latency)
    return [asdict(point) for point in points], timed_csv(points), picture


def _others(plan: Plan, axis: Axis) -> list[str]:
    """The limits that every point of the front keeps, in words."""
    from sdk.planning.offers import shown

    cut = ("max_memory", "max_latency") if axis == "size" else ("max_size", "max_memory")
    return [f"{name} {shown(name, limit)}" for name, limit in plan.budgets if name in cut and limit is not None]


def show_pareto(front: dict[str, Any]) -> None:
    """Print the front, its knee and where it was written."""
    from sdk.cli.output import print_facts, print_table
    from sdk.report.numbers import significant
    from sdk.units import format_size

    def place(point: dict[str, Any]) -> str:
        return format_size(point["bytes"]) if front["axis"] == "size" else f"{point['latency']:.3g} ms"

    unit = "kb" if front["axis"] == "size" else "ms"
    rows = [
        (place(p), f"{p['bytes']:,}", significant(p["loss"]), significant(p[f"saves_per_{unit}"]), "knee" if p["knee"] else "")
        for p in front["points"]
    ]
    columns = (front["axis"], "bytes", f"loss ({front['loss_unit']})", f"saved by the next {'kB' if unit == 'kb' else unit}", "")
    print_table(columns, rows, "Pareto front, predicted", f"{front['axis']} bytes")
    click.echo()
    found = next((p for p in front["points"] if p["knee"]), None)
    where = f"{place(found)}, loss {significant(found['loss'])}" if found else "none, too few points"
    print_facts([
        *([("within", " and ".join(front["within"]))] if front["within"] else []),
        ("knee", f"{where} (Kneedle, Satopää et al. 2011, over the points of loss 1 or less)"),
        ("written to", f"{front['csv']} and {front['picture']}"),
    ])
