"""Draws the model from its first layer to its last: bits a weight, and the loss that each layer is predicted to cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdk.report.charts.drawing import Drawing, colour, draw, narrow, plain
from sdk.report.data import Layer
from sdk.report.numbers import shown, significant


def layers_chart(layers: Sequence[Layer], unit: str) -> Drawing:
    """Draw `layers`, coloured by kind, bits above loss."""
    return draw(lambda width: _spec(layers, unit, width), _words(layers))


def _spec(layers: Sequence[Layer], unit: str, width: int) -> dict[str, Any]:
    values = [_value(number, layer) for number, layer in enumerate(layers, start=1)]
    kinds = sorted({layer.kind for layer in layers})
    place = _place(len(layers), narrow(width))
    return {
        "data": {"values": values},
        "padding": 4,
        "spacing": 14,
        "vconcat": [
            _bars(place, _colours(kinds, 3 if narrow(width) else 6), "bits", "bits per weight", width - 84, 150),
            _bars(place, _colours(kinds, 0), "loss", f"loss, {unit}", width - 84, 130),
        ],
    }


def _value(number: int, layer: Layer) -> dict[str, Any]:
    place = {"from": number - 0.46, "to": number + 0.46, "zero": 0}
    return {**place, "kind": layer.kind, "bits": layer.bits, "loss": layer.loss, "label": _label(layer)}


def _place(count: int, narrow: bool) -> dict[str, Any]:
    axis = {**plain("layer, in the order of execution", 6 if narrow else 12), "grid": False, "tickMinStep": 1}
    return {"field": "from", "type": "quantitative", "scale": {"domain": [0.5, count + 0.5], "nice": False}, "axis": axis}


def _colours(kinds: Sequence[str], columns: int) -> dict[str, Any]:
    scale = {"domain": list(kinds), "range": [colour(kind) for kind in kinds]}
    legend = {"columns": columns, "symbolType": "square"} if columns else None
    return {"field": "kind", "type": "nominal", "scale": scale, "legend": legend}


def _bars(place: dict[str, Any], colours: dict[str, Any], field: str, title: str, width: int, height: int) -> dict[str, Any]:
    last = field == "loss"
    axis = {**place["axis"], "title": place["axis"]["title"] if last else None, "labels": last, "ticks": last}
    upright = {**plain(title, 4), "minExtent": 40, "maxExtent": 40}
    return {
        "width": width,
        "height": height,
        "mark": {"type": "rect"},
        "encoding": {
            "x": {**place, "axis": axis},
            "x2": {"field": "to"},
            "y": {"field": field, "type": "quantitative", "scale": {"zero": True}, "axis": upright},
            "y2": {"field": "zero"},
            "color": colours,
            "description": {"field": "label"},
        },
    }


def _label(layer: Layer) -> str:
    bits = f"{significant(layer.bits)} bits per weight" if layer.bits is not None else "no weights"
    return f"{layer.name} ({layer.kind}): {layer.scheme}, {bits}, loss {shown(layer.loss)}"


def _words(layers: Sequence[Layer]) -> str:
    bits = [layer.bits for layer in layers if layer.bits is not None]
    weights = sum(layer.parameters for layer in layers)
    text = f"{len(layers)} layers"
    if bits:
        mean = 8 * sum(layer.bytes for layer in layers) / weights
        text += f" from {significant(min(bits))} to {significant(max(bits))} bits per weight, {significant(mean)} on average"
    whole = sum(layer.loss for layer in layers)
    worst = max(layers, key=lambda layer: layer.loss, default=None)
    if worst is not None and whole > 0:
        text += f". Most loss comes from {worst.name}: {shown(worst.loss / whole, 'share')} of the predicted {shown(whole)}"
    return text + "."
