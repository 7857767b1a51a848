"""Renders a report as Markdown, for a pull request or a wiki: the same numbers, no pictures."""

from __future__ import annotations

import re
from typing import Any

from sdk.report.data import Report
from sdk.report.numbers import shown
from sdk.report.writing import GENERATOR

_MARKS = {"good": "✓", "bad": "✗", "open": "·"}


def markdown(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown; names that a model brings cannot become markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sdk.report"), autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(code=code, words=words, figure=_figure, shown=shown)
    text: str = environment.get_template("report.md.j2").render(report=report, generator=GENERATOR, marks=_MARKS)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def code(text: str) -> str:
    """Return `text` as a code span that holds in a table cell too."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}".replace("|", "\\|")


def words(text: str) -> str:
    """Return `text` with what Markdown or HTML would read as markup escaped; code spans stay."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(part.replace("|", "\\|") if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", plain)


def _figure(number: Any, unit: str | None = None) -> str:
    """Show a number with its origin."""
    text = shown(number.value, number.unit if unit is None else unit)
    return f"{text} ({number.origin})" if number.origin and number.value is not None else text
