"""Shows what was checked: a table or one JSON document, the first failure as the error, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sdk.cli.output import print_json, print_table

if TYPE_CHECKING:
    from sdk.bundles import Finding


def show_findings(subject: tuple[str, str], findings: Sequence[Finding], column: str, as_json: bool) -> int:
    """Print `findings` about `subject` (the JSON key it goes by, and its path) and return the exit code: 1 when one failed."""
    key, path = subject
    bad = [found for found in findings if not found.ok]
    message = f"{path}: {bad[0].what}: {bad[0].detail}" if bad else ""
    if as_json:
        failure: dict[str, object] = {"error": message, "exit_code": 1} if bad else {}
        undone = [found.what for found in findings if not found.done]
        failure |= {"not_executed": undone} if undone else {}
        print_json({key: path, "ok": not bad, "findings": listed(findings), **failure})
    else:
        print_findings(findings, column)
    if bad:
        click.echo(f"error: {message}", err=True)
    return 1 if bad else 0


def print_findings(findings: Sequence[Finding], column: str) -> None:
    """Print the table; `column` is the heading over what was checked."""
    rows = [(found.what, _verdict(found), found.detail) for found in findings]
    print_table((column, "verdict", "detail"), rows)


def _verdict(found: Finding) -> str:
    if not found.ok:
        return "FAILED"
    return "ok" if found.done else "NOT EXECUTED"


def listed(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """Return the findings as JSON data."""
    return [
        {"what": found.what, "ok": found.ok, "detail": found.detail, **({} if found.done else {"executed": False})}
        for found in findings
    ]
