"""Lines for what is equal or not: one for each thing that changed, or one that says that nothing did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sdk.config import Level
from sdk.release.gate.compare import at_level
from sdk.release.gate.judgement import Judgement


def differences(rule: str, level: Level, baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterable[Judgement]:
    """Compare two mappings key by key; a key that is not there has the value None."""
    if level == "off":
        return
    changed = [key for key in sorted({*baseline, *candidate}) if baseline.get(key) != candidate.get(key)]
    for key in changed:
        old, new = baseline.get(key), candidate.get(key)
        subject = key if key != rule else ""
        message = f"{rule}{f' {subject}' if subject else ''}: {_said(old)} → {_said(new)}"
        yield Judgement(rule, at_level(level), message, subject, old, new)
    if not changed:
        yield Judgement(rule, "passed", f"{rule}: as in the baseline")


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
