"""Draws where the file's bytes are: one tile a layer, grouped by kind, areas in proportion to stored bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.report.charts.drawing import FONT, INK, MUTED, Drawing, colour, draw, narrow
from sdk.report.data import KindShare, Layer
from sdk.report.numbers import shown
from sdk.units import format_size

_HEAD = 20
"""Pixels above the tiles of a kind, for its name."""
_REST = "outside the layers"


def treemap_chart(layers: Sequence[Layer], kinds: Sequence[KindShare], base: int) -> Drawing:
    """Draw `layers` and the `base` bytes that belong to none."""
    return draw(lambda width: _spec(_rows(layers, kinds, base), width), _words(kinds, base))


def _rows(layers: Sequence[Layer], kinds: Sequence[KindShare], base: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"id": "/", "parent": None}]
    for share in kinds:
        rows.append({"id": f"kind/{share.kind}", "parent": "/", "name": f"{share.kind} · {format_size(share.bytes)}"})
    for i, each in enumerate(layers):
        size = format_size(each.bytes)
        rows.append({
            "id": f"layer/{i}", "parent": f"kind/{each.kind}", "bytes": each.bytes, "name": each.name, "size": size,
            "colour": colour(each.kind), "label": f"{each.name} ({each.kind}): {size}",
        })  # fmt: skip
    if base > 0:
        size = format_size(base)
        rows.append({"id": "rest", "parent": "/", "name": f"{_REST} · {size}"})
        rows.append({
            "id": "rest/0", "parent": "rest", "bytes": base, "name": "graph, metadata, biases", "size": size, "colour": MUTED,
            "label": f"{_REST}: {size}",
        })  # fmt: skip
    return rows


def _spec(rows: list[dict[str, Any]], width: int) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": width - 4, "height": 420 if narrow(width) else 400, "padding": 2, "autosize": "none",
        "data": _data(rows),
        "marks": [_headers(), _tiles(), _text("name", 18, 14, INK), _text("size", 34, 28, MUTED)],
    }  # fmt: skip


def _data(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    layout = {
        "type": "treemap", "field": "bytes", "sort": {"field": "value", "order": "descending"}, "round": True,
        "method": "squarify", "ratio": 1.4, "paddingInner": 2, "paddingTop": _HEAD, "paddingOuter": 1,
        "size": [{"signal": "width"}, {"signal": f"height + {_HEAD}"}],
    }  # fmt: skip
    return [
        {"name": "tree", "values": rows, "transform": [{"type": "stratify", "key": "id", "parentKey": "parent"}, layout]},
        {"name": "kinds", "source": "tree", "transform": [{"type": "filter", "expr": "datum.depth === 1"}]},
        {"name": "tiles", "source": "tree", "transform": [{"type": "filter", "expr": "datum.depth === 2"}]},
    ]


def _up(edge: str, down: int = 0) -> dict[str, Any]:
    """The root has a header's room too, but no header: everything moves up by it."""
    return {"field": edge, "offset": down - _HEAD}


def _tiles() -> dict[str, Any]:
    area = {"x": {"field": "x0"}, "x2": {"field": "x1"}, "y": _up("y0"), "y2": _up("y1")}
    paint = {"fill": {"field": "colour"}, "fillOpacity": {"value": 0.24}, "stroke": {"field": "colour"}}
    enter = {**area, **paint, "strokeOpacity": {"value": 0.55}, "description": {"field": "label"}}
    return {"type": "rect", "from": {"data": "tiles"}, "encode": {"enter": enter}}


def _headers() -> dict[str, Any]:
    return _written("kinds", "name", "datum.x1 - datum.x0 > 54", 2, 14, {"fill": {"value": INK}, "fontWeight": {"value": 600}})


def _text(field: str, least: int, down: int, fill: str) -> dict[str, Any]:
    fits = f"datum.x1 - datum.x0 > 56 && datum.y1 - datum.y0 > {least}"
    return _written("tiles", field, fits, 5, down, {"fill": {"value": fill}})


def _written(data: str, field: str, fits: str, right: int, down: int, look: dict[str, Any]) -> dict[str, Any]:
    """Text at the top left of each rectangle where it `fits`, cut at the right edge."""
    enter = {
        "x": {"field": "x0", "offset": right}, "y": _up("y0", down), "font": {"value": FONT},
        "fontSize": {"value": 12}, "limit": {"signal": f"0.86 * (datum.x1 - datum.x0) - {2 * right}"},
        "text": {"signal": f"{fits} ? datum.{field} : ''"}, **look,
    }  # fmt: skip
    return {"type": "text", "from": {"data": data}, "encode": {"enter": enter}}


def _words(kinds: Sequence[KindShare], base: int) -> str:
    parts = [f"{shown(each.share, 'share')} in {each.kind} ({each.layers})" for each in kinds]
    return f"Stored bytes by layer: {', '.join(parts)}; {format_size(max(base, 0))} {_REST} (graph, metadata, biases)."
