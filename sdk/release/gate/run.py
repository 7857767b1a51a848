"""Finds every rule and asks each for its lines."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import sdk.release.gate.rules as _package
from sdk.release.gate.judgement import Report
from sdk.release.gate.rule import Rule
from sdk.release.gate.sides import Sides


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return every rule: the `RULE` of each file in `rules`, sorted by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(_package.__path__))
    found: list[Rule] = [importlib.import_module(f"{_package.__name__}.{name}").RULE for name in names]
    return tuple(sorted(found, key=lambda rule: rule.name))


def judge(sides: Sides) -> Report:
    """Ask every rule; the same bundles give the same report."""
    lines = tuple(line for rule in all_rules() for line in rule.judge(sides))
    return Report(sides.candidate.path, sides.baseline.path, lines)
