"""Draws a Vega specification as small SVG whose colours are the page's CSS variables."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from xml.etree import ElementTree

from sdk.errors import Missing

WIDE, NARROW = 860, 330
"""Widths in CSS pixels that every chart is drawn at: text stays readable, nothing is scaled down to a phone."""

INK, MUTED, GRID, ACCENT, SECOND = "var(--ink)", "var(--muted)", "var(--grid)", "var(--accent)", "var(--second)"
_PLAIN = (
    "datum.value === 0 ? '0' : abs(datum.value) < 1e-3 || abs(datum.value) >= 1e6 ? "
    "replace(format(datum.value, '~e'), '+', '') : format(datum.value, ',~r')"
)
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
KINDS = {
    "conv2d": 0, "depthwise": 1, "linear": 2, "embedding": 3, "lstm": 4, "gru": 4, "conv1d": 5,
    "conv_transpose1d": 5, "conv_transpose2d": 5,
}  # fmt: skip
"""Layer kind → number of its colour, the same in every chart and bundle."""

_SVG = "http://www.w3.org/2000/svg"
_KEPT = {
    "d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "viewBox", "transform", "fill", "fill-opacity", "stroke",
    "stroke-width", "stroke-dasharray", "stroke-opacity", "font-size", "font-weight", "font-style", "text-anchor",
    "cx", "cy", "r", "dx", "dy",
}  # fmt: skip
"""Attributes that draw something; roles, classes and labels of single marks are left out or become a title."""
_LONG = re.compile(r"(\d+\.\d\d)\d+")
"""A coordinate with more digits than a screen has."""
_CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED, "titleColor": INK, "gridColor": GRID, "domainColor": GRID, "tickColor": GRID,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 600, "labelPadding": 6, "titlePadding": 10, "tickSize": 4,
    },
    "legend": {
        "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "orient": "top", "title": None, "symbolSize": 90,
        "labelLimit": 300, "offset": 12, "columnPadding": 32,
    },
    "text": {"fill": INK, "fontSize": 12},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart as SVG text at two widths, and what it shows in words."""

    wide: str
    narrow: str
    description: str


def drawing_toolkit() -> Any:
    """Return the library that draws; Missing, with the command that installs it, where it is absent."""
    if find_spec("vl_convert") is None:
        raise Missing("drawing needs vl-convert-python: pip install 'snugfit[report]'")
    import vl_convert

    return vl_convert


def draw(make: Callable[[int], dict[str, Any]], description: str) -> Drawing:
    """Draw the specification that `make` gives for a width, at both widths."""
    return Drawing(_svg(make(WIDE)), _svg(make(NARROW)), description)


def colour(kind: str) -> str:
    """Return the colour of a layer kind."""
    number = KINDS.get(kind)
    return MUTED if number is None else f"var(--k{number})"


def narrow(width: int) -> bool:
    """Say whether a chart of this width is for a phone."""
    return width < (WIDE + NARROW) // 2


def plain(title: str, ticks: int) -> dict[str, Any]:
    """Return an axis whose numbers are written as people write them: 0.02, 300, 1e-7."""
    return {"title": title, "tickCount": ticks, "labelExpr": _PLAIN, "labelOverlap": True}


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers for a log axis from `low` to `high`: 1, 2, 5 of every decade, or decades where those are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    inside = [tick for tick in fine if low <= tick <= high]
    if len(inside) <= most:
        return inside
    decades = [10.0**power for power in powers if low <= 10.0**power <= high]
    return decades[:: max(1, math.ceil(len(decades) / most))]


def fitted(width: int, height: int) -> dict[str, Any]:
    """Return the size of a plot whose axes and legends have to fit into `width` too."""
    return {"width": width - 12, "height": height, "autosize": {"type": "fit-x", "contains": "padding"}, "padding": 4}


def standalone(svg: str, description: str, style: str) -> str:
    """Return a drawing as a file of its own, with its `description` and `style` (the colours) inside."""
    from xml.sax.saxutils import escape

    return svg.replace(">", f' role="img"><title>{escape(description)}</title><style>{style}</style>', 1)


def _svg(spec: dict[str, Any]) -> str:
    toolkit = drawing_toolkit()
    text = toolkit.vega_to_svg(spec) if "marks" in spec else toolkit.vegalite_to_svg({**spec, "config": _CONFIG})
    return _cleaned(text)


def _cleaned(text: str) -> str:
    """Keep what draws: marks' labels become titles (shown when pointed at), and the page names the chart itself."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(text)
    _clean(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "fill": "none", "font-family": FONT}
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element) -> None:
    for child in list(element):
        if child.tag == f"{{{_SVG}}}path" and child.get("class") in ("background", "foreground"):
            element.remove(child)
            continue
        _clean(child)
        if child.tag == f"{{{_SVG}}}g" and len(child) == 0:
            element.remove(child)
    label = element.get("aria-label")
    if label and element.tag != f"{{{_SVG}}}g":
        ElementTree.SubElement(element, f"{{{_SVG}}}title").text = label
    element.attrib = {key: _LONG.sub(r"\1", value) for key, value in element.attrib.items() if key in _KEPT}
