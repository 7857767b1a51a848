"""Backends of ExecuTorch beyond XNNPACK, one file each: a module with a `BACKEND` is found by its name."""

from __future__ import annotations

import importlib
import pkgutil

from sdk.errors import BadInput
from targets.executorch.backends.backend import Backend, Closed

__all__ = ["Backend", "Closed", "all_backends", "find_backend"]


def all_backends() -> dict[str, Backend | Closed]:
    """Return every backend by name."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name != "backend")
    return {name: importlib.import_module(f"{__name__}.{name}").BACKEND for name in names}


def find_backend(name: str) -> Backend | Closed:
    """Return the backend called `name`; BadInput lists them when there is none."""
    found = all_backends()
    if name not in found:
        raise BadInput(f"target executorch has no backend called {name[:40]!r}: there are {', '.join(found)}")
    return found[name]
