"""Draws how long runs took: a histogram of all runs with the quantiles that budgets are about."""

from __future__ import annotations

from typing import Any

from sdk.report.charts.drawing import ACCENT, INK, MUTED, SECOND, Drawing, draw, fitted, narrow, plain
from sdk.report.data import Check
from sdk.report.numbers import shown

_LOOKS = {"p50": (INK, [1, 0]), "p90": (SECOND, [6, 3]), "p99": (MUTED, [2, 2])}


def latency_chart(check: Check) -> Drawing:
    """Draw the runs of `check`; what lies above the last bin is said in words."""
    return draw(lambda width: _spec(check, narrow(width), width), _words(check))


def _spec(check: Check, narrow: bool, width: int) -> dict[str, Any]:
    axis = {**plain(f"time of one run, ms ({check.origin})", 5 if narrow else 10), "grid": False}
    x = {"type": "quantitative", "scale": {"zero": False, "nice": False}, "axis": axis}
    return {**fitted(width, 220), "layer": [_bars(check, x), _rules(check, x, 2 if narrow else 3)]}


def _bars(check: Check, x: dict[str, Any]) -> dict[str, Any]:
    values = [
        {"from": each.low, "to": each.high, "runs": each.runs, "zero": 0,
         "label": f"{shown(each.low)} to {shown(each.high)} ms: {each.runs:,} runs"}
        for each in check.bins
    ]  # fmt: skip
    axis = {**plain("runs", 4), "tickMinStep": 1}
    return {
        "data": {"values": values},
        "mark": {"type": "rect", "fill": ACCENT, "fillOpacity": 0.75},
        "encoding": {
            "x": {**x, "field": "from"}, "x2": {"field": "to"},
            "y": {"field": "runs", "type": "quantitative", "axis": axis}, "y2": {"field": "zero"},
            "description": {"field": "label"},
        },
    }  # fmt: skip


def _rules(check: Check, x: dict[str, Any], columns: int) -> dict[str, Any]:
    top = max((each.high for each in check.bins), default=0.0)
    values = {"p50": check.p50.value, "p90": check.p90.value, "p99": check.p99.value}
    kept = {name: value for name, value in values.items() if value is not None and value <= top}
    names = [f"{name} {shown(value)} ms" for name, value in kept.items()]
    legend = {"columns": columns, "symbolType": "stroke", "symbolStrokeWidth": 2}

    def by(part: int) -> dict[str, Any]:
        scale = {"domain": names, "range": [_LOOKS[name][part] for name in kept]}
        return {"field": "name", "type": "nominal", "scale": scale, "legend": legend}

    return {
        "data": {"values": [{"ms": value, "name": name} for name, value in zip(names, kept.values(), strict=True)]},
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": {"x": {**x, "field": "ms"}, "color": by(0), "strokeDash": by(1)},
    }


def _words(check: Check) -> str:
    text = (
        f"{check.runs:,} runs on {check.on} ({check.origin}): half take at most {shown(check.p50.value, 'ms')}, "
        f"9 of 10 at most {shown(check.p90.value, 'ms')}, 99 of 100 at most {shown(check.p99.value, 'ms')}."
    )
    if check.beyond:
        text += f" {check.beyond:,} slower runs, up to {shown(check.slowest, 'ms')}, lie right of the drawing."
    return text
