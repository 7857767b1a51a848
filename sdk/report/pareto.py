"""A Pareto front as files: a CSV for machines and a picture for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sdk.report.charts import LATENCY, SIZE, front_chart, standalone
from sdk.report.data import Figure, Number, Point, TimedPoint
from sdk.report.palette import alone

COLUMNS = ("bytes", "loss", "loss_saved_per_kb", "knee")
TIMED = ("latency_ms", "loss", "bytes", "loss_saved_per_ms", "knee")


def pareto_csv(points: Sequence[Point]) -> str:
    """Return one line a point: bytes, loss, loss that the next kB saves, and 1 at the knee."""
    return _csv(COLUMNS, [(point.bytes, f"{point.loss:.6g}", f"{point.saves_per_kb:.6g}", int(point.knee)) for point in points])


def timed_csv(points: Sequence[TimedPoint]) -> str:
    """Return one line a point: ms, loss, bytes, loss that the next ms saves, and 1 at the knee."""
    return _csv(TIMED, [
        (f"{point.latency:.6g}", f"{point.loss:.6g}", point.bytes, f"{point.saves_per_ms:.6g}", int(point.knee))
        for point in points
    ])


def pareto_svg(points: Sequence[Point], unit: str, size: int, loss: float, limit: int | None) -> str:
    """Return the front as an SVG file with the plan of `size` bytes and predicted `loss` on it, and its `limit`."""
    at, quality = _figures("size", size, "bytes", loss, unit, limit)
    drawn = front_chart(points, unit, at, quality, SIZE)
    return standalone(drawn.wide, drawn.description, alone()) + "\n"


def timed_svg(points: Sequence[TimedPoint], unit: str, latency: float, loss: float, limit: float | None) -> str:
    """The same of a front against latency, with the plan of `latency` ms on it."""
    at, quality = _figures("latency", latency, "ms", loss, unit, limit)
    drawn = front_chart(points, unit, at, quality, LATENCY)
    return standalone(drawn.wide, drawn.description, alone()) + "\n"


def _figures(name: str, value: float, of: str, loss: float, unit: str, limit: float | None) -> tuple[Figure, Figure]:
    nothing = Number(None, unit, "")
    at = Figure(name, Number(value, of, "predicted"), nothing, None, limit)
    return at, Figure("loss", Number(loss, unit, "predicted"), nothing, None, None)


def _csv(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(lines)
    return out.getvalue()
