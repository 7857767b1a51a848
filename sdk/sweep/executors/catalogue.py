"""Finds executors: every module of this package with an `EXECUTOR`."""

from __future__ import annotations

import importlib
import pkgutil

from sdk.errors import BadInput
from sdk.sweep.executors.executor import Executor

_PACKAGE = "sdk.sweep.executors"


def executor_for(on: str) -> tuple[Executor, str]:
    """Return the executor and the address that `on` (`local`, `ray`, `ray://head:10001`) names; BadInput."""
    name, _, address = on.partition("://")
    found = {each.name: each for each in _all()}
    if name not in found:
        raise BadInput(f"--on {on[:60]!r} is unknown: it is one of {', '.join(sorted(found))}, such as ray://head:10001")
    return found[name], address


def _all() -> list[Executor]:
    package = importlib.import_module(_PACKAGE)
    modules = [importlib.import_module(f"{_PACKAGE}.{info.name}") for info in pkgutil.iter_modules(package.__path__)]
    return [module.EXECUTOR for module in modules if hasattr(module, "EXECUTOR")]
