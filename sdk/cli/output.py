"""Prints tables (rich on a terminal, plain columns when piped) and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click


def print_json(data: Any) -> None:
    """Print `data` as the one JSON document of this run."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", right: str = "") -> None:
    """Print one table; `right` names the columns that are aligned to the right, separated by blanks."""
    cells = [[_text(cell) for cell in row] for row in rows]
    numeric = set(right.split())
    if sys.stdout.isatty():
        _rich_table(columns, cells, title, numeric)
    else:
        _plain_table(columns, cells, numeric)


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        click.echo(f"{name.ljust(width)}  {_text(value)}".rstrip())


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _rich_table(columns: Sequence[str], cells: list[list[str]], title: str, numeric: set[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _plain_table(columns: Sequence[str], cells: list[list[str]], numeric: set[str]) -> None:
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        aligned = [
            cell.rjust(width) if name in numeric else cell.ljust(width)
            for cell, width, name in zip(line, widths, columns, strict=True)
        ]
        click.echo("  ".join(aligned).rstrip())


@contextlib.contextmanager
def toolchains_on_stderr() -> Iterator[None]:
    """Send what user code and toolchains print to stdout to stderr, so that stdout holds our own output only."""
    sys.stdout.flush()
    with _first_descriptor_on_second(), contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _first_descriptor_on_second() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def foreseen_facts(memory: Any, latency: Any, writes: bool) -> list[tuple[str, str]]:
    """Return what is predicted of peak memory (bytes) and latency (ms) with its bounds; what is not predicted is left out.

    `writes`: whether it is a language model, whose latency is that of one token.
    """
    from sdk.units import format_size

    found = []
    if memory is not None:
        value, low, high = (format_size(round(each)) for each in (memory.value, memory.low, memory.high))
        found.append(("memory", f"{value} at the peak, predicted; {low} to {high}"))
    if latency is not None:
        token = f" a token ({1e3 / latency.value:.3g} tokens/s) behind a full context" if writes else ""
        found.append(("latency", f"{latency.value:.3g} ms{token}, predicted; {latency.low:.3g} to {latency.high:.3g} ms"))
    return found


def accelerator_facts(made_for: Any) -> list[tuple[str, str]]:
    """Return what a manifest says of the accelerator: what it takes, each operator outside, and that nothing ran there."""
    if made_for is None:
        return []
    found = [("accelerator", f"{made_for.kind}: {made_for.title}, {'' if made_for.executed else 'NOT '}executed on it")]
    if made_for.coverage is not None:
        outside = made_for.coverage.outside
        found.append(("coverage", made_for.coverage.words))
        found += [
            ("on the CPU", f"{each.count} x {each.operator}, {each.macs:,} multiply-accumulates: {each.why}") for each in outside
        ]
        found += [] if outside else [("on the CPU", "no operator")]
    if not made_for.executed:
        found.append(("numbers are of", made_for.numerics))
    return found
