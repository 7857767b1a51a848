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
    """Return the rows in ms of every model that can be built here, on stderr what could not be."""
    with path.open() as file:
        found = [row for row in csv.DictReader(file) if row["metric"] == "latency_ms" and float(row["value"]) > 0]
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
    print(f"{len(rows)} of {len(found)} rows, {len({row.model for row in rows})} architectures", file=sys.stderr)
    return rows


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
