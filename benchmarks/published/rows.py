"""Reads published latencies and joins them with what their architectures compute."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.published.architectures import builder
from benchmarks.published.shapes import Shapes, count

COLUMNS = ("device", "runtime", "model", "component", "precision", "metric", "value")
"""What is read of a file; it may have more."""
LEAST = 3
"""Models, and devices, of which each can be left out and told from the rest."""
BITS = {"w8a8": (8, 8), "int8": (8, 8), "w8a16": (8, 16), "w4a16": (4, 16)}
"""Precision → bits of weights and activations; 16 of both for others."""


@dataclass(frozen=True)
class Row:
    """One published latency in ms, and the features of what ran: logarithms, and shares of the MACs."""

    device: str
    runtime: str
    precision: str
    model: str
    milliseconds: float
    macs: float
    features: tuple[float, ...]


def read(path: Path) -> list[Row]:
    """Return the rows in ms of every model that can be built here; on stderr what could not be, and lines without a latency.

    ValueError where a column is missing, or where too little is left to leave a model and a device out.
    """
    found = _latencies(path)
    shapes: dict[str, Shapes | None] = {}
    rows = []
    for row in found:
        built = builder(row["model"], row["component"])
        if built is None:
            continue
        name, (build, inputs) = built
        if name not in shapes:
            shapes[name] = _counted(name, build, inputs)
        counted = shapes[name]
        if counted is not None:
            rows.append(_row(row, name, counted))
    models, devices = ({getattr(row, name) for row in rows} for name in ("model", "device"))
    print(f"{len(rows)} of {len(found)} rows, {len(models)} architectures, {len(devices)} devices", file=sys.stderr)
    if min(len(models), len(devices)) < LEAST:
        raise ValueError(f"{path}: {LEAST} models that can be built here and {LEAST} devices are the least that can be compared")
    return rows


def _latencies(path: Path) -> list[dict[str, str]]:
    """The lines that are latencies; what is none of more than 0 ms is told on stderr and left out."""
    found = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (lines.fieldnames or ())]:
            raise ValueError(f"{path}: has no column {', '.join(missing)}")
        for row in lines:
            if row["metric"] != "latency_ms":
                continue
            if 0 < _number(row["value"]) < math.inf:
                found.append(row)
            else:
                print(f"{path}:{lines.line_num}: value {row['value']!r} is no latency: left out", file=sys.stderr)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _counted(name: str, build: Any, inputs: Any) -> Shapes | None:
    try:
        return count(build, inputs)
    except Exception as error:  # whatever a library's model cannot do without data
        print(f"{name}: {type(error).__name__}: {str(error)[:120]}", file=sys.stderr)
        return None


def _row(row: dict[str, str], name: str, shapes: Shapes) -> Row:
    precision = next((key for key in BITS if row["precision"].startswith(key)), "float")
    precision = "w8a8" if precision == "int8" else precision
    weights, activations = BITS.get(precision, (16, 16))
    features = (
        math.log(shapes.macs), math.log(shapes.weights * weights), math.log(shapes.activations * activations),
        math.log(shapes.operators), shapes.grouped / shapes.macs, shapes.products / shapes.macs,
    )  # fmt: skip
    return Row(row["device"], row["runtime"], precision, name, float(row["value"]), shapes.macs, features)
