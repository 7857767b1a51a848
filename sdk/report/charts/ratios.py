"""Draws measured against predicted, and the artifact's error between the rounding floor and its limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.report.charts.drawing import INK, MUTED, SECOND, Drawing, draw, fitted, log_ticks, narrow, plain
from sdk.report.data import Figure, Parity
from sdk.report.numbers import shown

_TICKS = (0.01, 0.1, 0.25, 0.5, 1, 2, 4, 10, 100)


def ratio_chart(figures: Sequence[Figure]) -> Drawing | None:
    """Draw measured / predicted of every figure that has both; None where there is none."""
    ratios = {figure.name: figure.ratio for figure in figures if figure.ratio}
    return draw(lambda width: _ratios(ratios, width), _ratio_words(ratios)) if ratios else None


def _ratios(ratios: dict[str, float], width: int) -> dict[str, Any]:
    low, high = min(0.5, *ratios.values()), max(2.0, *ratios.values())
    values = [{"figure": name, "ratio": ratio, "text": shown(ratio, "share"), "label": f"{name}: {shown(ratio, 'share')}"}
              for name, ratio in ratios.items()]  # fmt: skip
    scale = {"type": "log", "domain": [low * 0.95, high * 1.3], "nice": False}
    axis = {"title": "measured ÷ predicted (log scale)", "format": ".0%", "values": [t for t in _TICKS if low <= t <= high]}
    x = {"field": "ratio", "type": "quantitative", "scale": scale, "axis": axis}
    named = {"title": None, "labelColor": INK, "ticks": False, "domain": False}
    y = {"field": "figure", "type": "nominal", "sort": None, "axis": named}
    rule = {"type": "rule", "stroke": INK, "strokeDash": [4, 4]}
    dot = {"type": "point", "filled": True, "size": 150, "fill": SECOND, "opacity": 1}
    text = {"type": "text", "align": "left", "dx": 10, "fill": INK}
    return {
        **fitted(width, 46 * len(values)),
        "data": {"values": values},
        "layer": [
            {"data": {"values": [{"ratio": 1}]}, "mark": rule, "encoding": {"x": x}},
            {"mark": dot, "encoding": {"x": x, "y": y, "description": {"field": "label"}}},
            {"mark": text, "encoding": {"x": x, "y": y, "text": {"field": "text"}}},
        ],
    }


def _ratio_words(ratios: dict[str, float]) -> str:
    return " ".join(f"The measured {name} is {shown(ratio, 'share')} of the predicted one." for name, ratio in ratios.items())


def parity_chart(parity: Parity) -> Drawing | None:
    """Draw floor, error and limit on one log axis; None where the error is not known or 0."""
    return draw(lambda width: _parity(parity, width), _parity_words(parity)) if parity.error.value else None


def _parity(parity: Parity, width: int) -> dict[str, Any]:
    marks = [
        ("rounding alone", parity.floor.value, MUTED, "triangle-up"), ("this file", parity.error.value, SECOND, "circle"),
        ("limit", parity.limit, INK, "square"),
    ]  # fmt: skip
    drawn = [(f"{name} {shown(value)}", value, colour, shape) for name, value, colour, shape in marks if value]
    names = [name for name, *_ in drawn]
    legend = {"columns": 2 if narrow(width) else 3}

    def by(looks: list[str]) -> dict[str, Any]:
        return {"field": "what", "type": "nominal", "scale": {"domain": names, "range": looks}, "legend": legend}

    errors = [value for _, value, *_ in drawn]
    scale = {"type": "log", "nice": False, "padding": 20}
    axis = {
        **plain("relative error (log scale)", 6),
        "values": log_ticks(min(errors) / 1.5, max(errors) * 1.5, 5 if narrow(width) else 9),
    }
    return {
        **fitted(width, 40),
        "data": {"values": [{"what": name, "error": value} for name, value, *_ in drawn]},
        "mark": {"type": "point", "filled": True, "size": 150, "opacity": 1},
        "encoding": {
            "x": {"field": "error", "type": "quantitative", "scale": scale, "axis": axis},
            "color": by([colour for *_, colour, _ in drawn]),
            "shape": by([shape for *_, shape in drawn]),
            "description": {"field": "what"},
        },
    }


def _parity_words(parity: Parity) -> str:
    return (
        f"The file's answers differ from the quantized model's by {shown(parity.error.value)} relative; rounding alone makes "
        f"{shown(parity.floor.value)}, and {shown(parity.limit)} is the most that passes."
    )
