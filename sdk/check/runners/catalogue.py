"""Finds the runners: each sibling file with a `RUNNER`, by name."""

from __future__ import annotations

import importlib
import pkgutil

import sdk.check.runners as _package
from sdk.check.runners.runner import Runner
from sdk.errors import BadInput


def runner_names() -> tuple[str, ...]:
    """Return the names of every runner, sorted."""
    return tuple(sorted(_all()))


def find_runner(on: str) -> tuple[Runner, str]:
    """Return the runner and the address that `on` means: `local`, `adb`, `adb:SERIAL`, `ssh:HOST`; BadInput else."""
    name, _, address = on.partition(":")
    runners = _all()
    if name not in runners:
        raise BadInput(f"--on {on[:60]!r}: there is no such runner: use {', '.join(sorted(runners))}")
    return runners[name], address


def _all() -> dict[str, Runner]:
    found: dict[str, Runner] = {}
    for info in pkgutil.iter_modules(_package.__path__):
        runner = getattr(importlib.import_module(f"{_package.__name__}.{info.name}"), "RUNNER", None)
        if runner is not None:
            found[runner.name] = runner
    return found
