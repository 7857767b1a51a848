"""Draws the Pareto front: the least loss at each size, with this plan, the budget and the knee on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.report.charts.drawing import ACCENT, INK, MUTED, SECOND, Drawing, draw, fitted, log_ticks, narrow, plain
from sdk.report.data import Figure, Point
from sdk.report.numbers import shown
from sdk.units import format_size

_LINE = "best plans (predicted)"
_KNEE = "knee"
_PREDICTED, _MEASURED = "this plan (predicted)", "this plan (measured)"
_LOOKS = {
    _LINE: (MUTED, "circle"), _KNEE: (INK, "triangle-up"), _PREDICTED: (ACCENT, "diamond"), _MEASURED: (SECOND, "circle"),
}  # fmt: skip

_AREAS = {_KNEE: 150, _PREDICTED: 320, _MEASURED: 90}
"""Areas in square pixels: where measured is as predicted, the one is seen on the other."""


def front_chart(points: Sequence[Point], unit: str, size: Figure | None = None, quality: Figure | None = None) -> Drawing:
    """Draw `points`, and the plan's `size` and `quality` where given; a loss of 0 has no place on a log axis."""
    marks = _marks(points, size, quality)
    limit = size.limit if size is not None else None
    return draw(lambda width: _spec(points, marks, limit, unit, width), _words(points, size, quality))


def _spec(
    points: Sequence[Point], marks: Sequence[dict[str, Any]], limit: float | int | None, unit: str, width: int
) -> dict[str, Any]:
    line = {"values": [{"size": p.bytes, "loss": p.loss, "what": _LINE, "label": _label(p)} for p in points if p.loss > 0]}
    sizes = [point.bytes for point in points if point.loss > 0] + [mark["size"] for mark in marks]
    losses = [point.loss for point in points if point.loss > 0] + [mark["loss"] for mark in marks]
    if not losses:
        losses = [1.0]
    place = {"x": _x(sizes, 5 if narrow(width) else 10), "y": _y(losses, unit)}
    looks = {**place, **_looks([_LINE, *dict.fromkeys(mark["what"] for mark in marks)], 1 if narrow(width) else 4)}
    point = {"type": "point", "filled": True, "opacity": 1, "strokeWidth": 2}
    layers = [
        *([_budget(limit, points, place["x"])] if limit is not None else []),
        {"data": line, "mark": {"type": "line", "stroke": MUTED, "strokeWidth": 1.5}, "encoding": place},
        {"data": line, "mark": {**point, "size": 26}, "encoding": looks},
        {"data": {"values": list(marks)}, "mark": point, "encoding": {**looks, "size": {"field": "area", "scale": None}}},
    ]
    return {**fitted(width, 260 if narrow(width) else 300), "layer": layers}


def _x(sizes: Sequence[int], most: int) -> dict[str, Any]:
    unit, factor = ("MB", 1e6) if max(sizes) >= 1e6 else ("kB", 1e3)
    axis = {**plain(f"size of the file, {unit} (log scale)", most), "values": log_ticks(min(sizes), max(sizes), most)}
    axis["labelExpr"] = f"format(datum.value / {factor:.0f}, ',~r')"
    return {"field": "size", "type": "quantitative", "scale": {"type": "log", "nice": False, "padding": 14}, "axis": axis}


def _y(losses: Sequence[float], unit: str) -> dict[str, Any]:
    axis = {**plain(f"loss, {unit} (log scale)", 6), "values": log_ticks(min(losses), max(losses), 7)}
    return {"field": "loss", "type": "quantitative", "scale": {"type": "log", "nice": False, "padding": 12}, "axis": axis}


def _looks(names: list[str], columns: int) -> dict[str, Any]:
    """Colour and shape by name, and the label that pointing at a mark shows."""
    def by(part: int) -> dict[str, Any]:
        scale = {"domain": names, "range": [_LOOKS[name][part] for name in names]}
        return {"field": "what", "type": "nominal", "scale": scale, "legend": {"columns": columns}}

    return {"color": by(0), "shape": by(1), "description": {"field": "label"}}


def _budget(limit: float | int, points: Sequence[Point], x: dict[str, Any]) -> dict[str, Any]:
    left = limit**2 > points[0].bytes * points[-1].bytes  # the half with less room gets no text
    side = {"align": "right", "dx": -5} if left else {"align": "left", "dx": 5}
    text = {"type": "text", **side, "baseline": "top", "y": 2, "fill": INK}
    return {
        "data": {"values": [{"size": limit, "label": f"budget {format_size(int(limit))}"}]},
        "encoding": {"x": x},
        "layer": [
            {"mark": {"type": "rule", "stroke": INK, "strokeDash": [4, 4], "strokeWidth": 1}},
            {"mark": text, "encoding": {"text": {"field": "label"}}},
        ],
    }


def _marks(points: Sequence[Point], size: Figure | None, quality: Figure | None) -> list[dict[str, Any]]:
    found: list[tuple[str, float | None, float | None]] = [(_KNEE, p.bytes, p.loss) for p in points if p.knee]
    if size is not None and quality is not None:
        found.append((_PREDICTED, size.predicted.value, quality.predicted.value))
        found.append((_MEASURED, size.measured.value, quality.measured.value))
    return [_mark(what, int(size), loss) for what, size, loss in found if size and loss]


def _mark(what: str, size: int, loss: float) -> dict[str, Any]:
    label = f"{what}: {format_size(size)}, loss {shown(loss)}"
    return {"what": what, "size": size, "loss": loss, "area": _AREAS[what], "label": label}


def _label(point: Point) -> str:
    return f"{format_size(point.bytes)}: loss {shown(point.loss)}"


def _words(points: Sequence[Point], size: Figure | None, quality: Figure | None) -> str:
    first, last = points[0], points[-1]
    text = (
        f"The least loss at each size, from {format_size(first.bytes)} (loss {shown(first.loss)}) "
        f"to {format_size(last.bytes)} (loss {shown(last.loss)}): the sum of what each layer loses alone."
    )
    found = next((point for point in points if point.knee), None)
    if found is not None:
        text += (
            f" The knee is at {format_size(found.bytes)}, loss {shown(found.loss)}: "
            "below it a smaller file loses much, above it a larger one gains little."
        )
    if size is not None and quality is not None:
        best, word = (quality.measured, "measured") if quality.measured.value is not None else (quality.predicted, "predicted")
        file = size.predicted if size.measured.value is None else size.measured
        text += f" This plan has {shown(file.value, 'bytes')} and a {word} loss of {shown(best.value)}, all layers together."
    return text
