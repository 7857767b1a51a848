"""Finds every objective: each sibling file with an `OBJECTIVE`, by name."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import sdk.planning.objectives as _package
from sdk.errors import BadInput
from sdk.planning.objectives.objective import Objective


@cache
def all_objectives() -> dict[str, Objective]:
    """Return every objective by name, sorted."""
    found: dict[str, Objective] = {}
    for info in pkgutil.iter_modules(_package.__path__):
        module = importlib.import_module(f"sdk.planning.objectives.{info.name}")
        objective = getattr(module, "OBJECTIVE", None)
        if isinstance(objective, Objective):
            found[objective.name] = objective
    return dict(sorted(found.items()))


def objective_of(minimise: str) -> Objective:
    """Return the objective that makes this least."""
    return next(each for each in all_objectives().values() if each.minimise == minimise)


def objective_named(name: str) -> Objective:
    """Return the objective called `name`; BadInput lists the known ones when there is none."""
    known = all_objectives()
    if name not in known:
        raise BadInput(f"no objective is called {name!r}: use {' or '.join(known)}")
    return known[name]
