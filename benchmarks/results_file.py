"""Measured rows on disk: JSON under `benchmarks/results`, Markdown under `docs/benchmarks`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.cases import ROOT

RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "benchmarks"
TOOLS = ("torch", "executorch", "ai-edge-litert", "ai-edge-quantizer", "litert-torch", "coremltools")

Row = Mapping[str, Any]


def save(name: str, rows: Sequence[Row], **facts: Any) -> None:
    """Write `results/<name>.json`: rows, the machine, tool versions and further facts."""
    tools = {tool: version(tool) for tool in TOOLS}
    document = {**facts, "machine": machine(), "tools": tools, "rows": list(rows)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def read(name: str) -> dict[str, Any]:
    """Read `results/<name>.json`, or an empty document."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def machine() -> str:
    """Say in a few words what measured: architecture, cores, load when it began."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def intro(module: str, document: Mapping[str, Any]) -> str:
    """Say which command made a page, on what, with which versions."""
    tools = ", ".join(f"{tool} {version}" for tool, version in document.get("tools", {}).items())
    return f"Made by `python -m {module}` on {document.get('machine', 'an unknown machine')}; {tools}."


def write_page(name: str, title: str, *parts: str) -> None:
    """Write `docs/benchmarks/<name>.md`."""
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / f"{name}.md").write_text("\n\n".join((f"# {title}", *parts)) + "\n")


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """Return a Markdown table; `columns` maps a row's key to its heading; absent values are dashes."""
    head = "| " + " | ".join(columns.values()) + " |"
    rule = "|" + "---|" * len(columns)
    lines = ["| " + " | ".join(text(key, row.get(key)) for key in columns) + " |" for row in rows]
    return "\n".join((head, rule, *lines))


def text(key: str, value: Any) -> str:
    """Format one value by its column: megabytes, seconds, shares, distances."""
    if value is None:
        return "–"
    if key.endswith("bytes"):
        return f"{value / 1e6:.3f}"
    if key.endswith("seconds") or key == "load":
        return f"{value:.1f}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
    return str(value).replace("|", "\\|").replace("\n", " ")
