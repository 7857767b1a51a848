"""Draws the Pareto front: the least loss at each size, with this plan, the budget and the knee on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sdk.report.charts.drawing import ACCENT, INK, MUTED, SECOND, Drawing, draw, fitted, log_ticks, narrow, plain
from sdk.report.data import Figure, Point, TimedPoint
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


Places = Sequence[Point] | Sequence[TimedPoint]


@dataclass(frozen=True, slots=True)
class Across:
    """What the loss is drawn against: a point's place, a value in words, the axis's title and factor, and what it is called."""

    at: Callable[[Any], float]
    show: Callable[[float], str]
    title: Callable[[float], tuple[str, float]]
    name: str
    less: str
    more: str


SIZE = Across(
    lambda point: float(point.bytes), lambda value: format_size(int(value)),
    lambda most: ("size of the file, MB", 1e6) if most >= 1e6 else ("size of the file, kB", 1e3), "size", "smaller", "larger",
)  # fmt: skip
LATENCY = Across(
    lambda point: float(point.latency), lambda value: f"{value:.3g} ms", lambda most: ("predicted latency, ms", 1.0),
    "latency", "faster", "slower",
)  # fmt: skip


def front_chart(
    points: Places, unit: str, place: Figure | None = None, quality: Figure | None = None, across: Across = SIZE
) -> Drawing:
    """Draw `points`, and the plan's `place` on the axis and `quality` where given; a loss of 0 has no place on a log axis."""
    marks = _marks(points, place, quality, across)
    limit = place.limit if place is not None else None
    return draw(lambda width: _spec(points, marks, limit, unit, width, across), _words(points, place, quality, across))


def _spec(
    points: Places, marks: Sequence[dict[str, Any]], limit: float | int | None, unit: str, width: int, across: Across
) -> dict[str, Any]:
    kept = [point for point in points if point.loss > 0]
    line = {"values": [{"size": across.at(p), "loss": p.loss, "what": _LINE, "label": _label(p, across)} for p in kept]}
    sizes = [across.at(point) for point in kept] + [mark["size"] for mark in marks]
    losses = [point.loss for point in kept] + [mark["loss"] for mark in marks]
    if not losses:
        losses = [1.0]
    if not sizes:
        sizes = [across.at(point) for point in points]
    place = {"x": _x(sizes, 5 if narrow(width) else 10, across), "y": _y(losses, unit)}
    looks = {**place, **_looks([_LINE, *dict.fromkeys(mark["what"] for mark in marks)], 1 if narrow(width) else 4)}
    point = {"type": "point", "filled": True, "opacity": 1, "strokeWidth": 2}
    layers = [
        *([_budget(limit, points, place["x"], across)] if limit is not None else []),
        {"data": line, "mark": {"type": "line", "stroke": MUTED, "strokeWidth": 1.5}, "encoding": place},
        {"data": line, "mark": {**point, "size": 26}, "encoding": looks},
        {"data": {"values": list(marks)}, "mark": point, "encoding": {**looks, "size": {"field": "area", "scale": None}}},
    ]
    return {**fitted(width, 260 if narrow(width) else 300), "layer": layers}


def _x(sizes: Sequence[float], most: int, across: Across) -> dict[str, Any]:
    title, factor = across.title(max(sizes))
    axis = {**plain(f"{title} (log scale)", most), "values": log_ticks(min(sizes), max(sizes), most)}
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


def _budget(limit: float | int, points: Places, x: dict[str, Any], across: Across) -> dict[str, Any]:
    left = limit**2 > across.at(points[0]) * across.at(points[-1])  # the half with less room gets no text
    side = {"align": "right", "dx": -5} if left else {"align": "left", "dx": 5}
    text = {"type": "text", **side, "baseline": "top", "y": 2, "fill": INK}
    return {
        "data": {"values": [{"size": limit, "label": f"budget {across.show(limit)}"}]},
        "encoding": {"x": x},
        "layer": [
            {"mark": {"type": "rule", "stroke": INK, "strokeDash": [4, 4], "strokeWidth": 1}},
            {"mark": text, "encoding": {"text": {"field": "label"}}},
        ],
    }


def _marks(points: Places, place: Figure | None, quality: Figure | None, across: Across) -> list[dict[str, Any]]:
    found: list[tuple[str, float | None, float | None]] = [(_KNEE, across.at(p), p.loss) for p in points if p.knee]
    if place is not None and quality is not None:
        found.append((_PREDICTED, place.predicted.value, quality.predicted.value))
        found.append((_MEASURED, place.measured.value, quality.measured.value))
    return [_mark(what, at, loss, across) for what, at, loss in found if at and loss]


def _mark(what: str, at: float, loss: float, across: Across) -> dict[str, Any]:
    label = f"{what}: {across.show(at)}, loss {shown(loss)}"
    return {"what": what, "size": at, "loss": loss, "area": _AREAS[what], "label": label}


def _label(point: Point | TimedPoint, across: Across) -> str:
    return f"{across.show(across.at(point))}: loss {shown(point.loss)}"


def _words(points: Places, place: Figure | None, quality: Figure | None, across: Across) -> str:
    first, last = points[0], points[-1]
    text = (
        f"The least loss at each {across.name}, from {across.show(across.at(first))} (loss {shown(first.loss)}) "
        f"to {across.show(across.at(last))} (loss {shown(last.loss)}): the sum of what each layer loses alone."
    )
    found = next((point for point in points if point.knee), None)
    if found is not None:
        text += (
            f" The knee is at {across.show(across.at(found))}, loss {shown(found.loss)}: "
            f"below it a {across.less} file loses much, above it a {across.more} one gains little."
        )
    if place is not None and quality is not None:
        best, word = (quality.measured, "measured") if quality.measured.value is not None else (quality.predicted, "predicted")
        at = place.predicted if place.measured.value is None else place.measured
        where = across.show(at.value) if at.value is not None else "not known"
        text += f" This plan has {where} and a {word} loss of {shown(best.value)}, all layers together."
    return text
