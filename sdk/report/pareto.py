"""A Pareto front as files: a CSV for machines and a picture for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sdk.report.charts import front_chart, standalone
from sdk.report.data import Figure, Number, Point
from sdk.report.palette import alone

COLUMNS = ("bytes", "loss", "loss_saved_per_kb", "knee")


def pareto_csv(points: Sequence[Point]) -> str:
    """Return one line a point: bytes, loss, loss that the next kB saves, and 1 at the knee."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((point.bytes, f"{point.loss:.6g}", f"{point.saves_per_kb:.6g}", int(point.knee)) for point in points)
    return out.getvalue()


def pareto_svg(points: Sequence[Point], unit: str, size: int, loss: float, limit: int | None) -> str:
    """Return the front as an SVG file with the plan of `size` bytes and predicted `loss` on it, and its `limit`."""
    nothing = Number(None, unit, "")
    at = Figure("size", Number(size, "bytes", "predicted"), nothing, None, limit)
    drawn = front_chart(points, unit, at, Figure("loss", Number(loss, unit, "predicted"), nothing, None, None))
    return standalone(drawn.wide, drawn.description, alone()) + "\n"
