"""Renders a report as one HTML file that needs nothing else: no network, no fonts, no libraries."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sdk.report import charts
from sdk.report.data import Part, Report
from sdk.report.numbers import shown
from sdk.report.palette import themes
from sdk.report.words import ORIGINS, REPEATS
from sdk.report.writing import GENERATOR

if TYPE_CHECKING:
    from markupsafe import Markup

_UNITS = {"bytes": "bytes", "share": "share", "base_bytes": "bytes", "float_bytes": "bytes", "bits": ""}
"""Unit of a plain number by its key."""


def html(report: Report) -> str:
    """Return the page of `report`; Missing where the drawing library is absent. The same report gives the same bytes."""
    data = report.as_data()
    style = themes() + _template("page.css")
    script = _template("page.js")
    environment = _environment()
    text: str = environment.get_template("page.html.j2").render(
        data=data,
        generator=GENERATOR,
        style=_safe(style),
        script=_safe(script),
        policy=_policy(style, script),
        embedded=_safe(embedded(data)),
        drawn=[_drawn(part) for part in report.parts],
        origins=ORIGINS,
        repeats=REPEATS,
        num=lambda *path, unit=None: _number(data, path, unit),
        shown=shown,
    )
    return text


def embedded(data: dict[str, Any]) -> str:
    """Return `data` as JSON that may stand inside a script element: no text in it can end that element."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sdk.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["words"] = words
    return environment


def words(text: str) -> Markup:
    """Escape `text`; what stands in backticks becomes code, and no line ends inside 1e-7 or before a unit."""
    from markupsafe import escape

    quoted = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    whole = re.sub(r"-?\d\S*e-\d+", r'<span class="whole">\g<0></span>', quoted)
    return _safe(re.sub(r"(?<=\d) (?=(?:%|[kMG]?B|ms|nats)\b|%)", "\u00a0", whole))


def _template(name: str) -> str:
    return (files("sdk.report") / "templates" / name).read_text("utf-8")


def _safe(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


def _policy(style: str, script: str) -> str:
    """Only this style and this script; nothing is loaded from anywhere."""
    def hashed(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _drawn(part: Part) -> dict[str, Any]:
    """The bundle's drawings by name; None where there is nothing to draw."""
    return {
        "front": charts.front_chart(part.front, part.loss_unit, part.size, part.quality) if len(part.front) > 1 else None,
        "treemap": charts.treemap_chart(part.layers, part.kinds, part.base_bytes) if part.layers else None,
        "layers": charts.layers_chart(part.layers, part.loss_unit) if part.layers else None,
        "ratios": charts.ratio_chart((part.size, part.quality)),
        "parity": charts.parity_chart(part.parity),
        "latency": [charts.latency_chart(check) for check in part.checks],
    }


def _number(data: Any, path: Sequence[str | int], unit: str | None) -> Markup:
    """Show the number at `path` of the data, with its exact value and its place for machines."""
    from markupsafe import Markup

    node = data
    for step in path:
        node = node[step]
    if isinstance(node, dict):
        unit, node, path = node["unit"] if unit is None else unit, node["value"], [*path, "value"]
    if node is None:
        return Markup('<span class="unknown">not known</span>')
    unit = _UNITS.get(str(path[-1]), "") if unit is None else unit
    key = ".".join(str(step) for step in path)
    return Markup('<data value="{}" data-key="{}">{}</data>').format(repr(node), key, shown(node, unit))
