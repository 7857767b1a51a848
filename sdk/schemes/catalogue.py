"""Finds every scheme: each sibling file with a `SCHEME`, by name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

import sdk.schemes as _package
from sdk.errors import BadInput
from sdk.schemes.scheme import Scheme


@cache
def all_schemes() -> dict[str, Scheme]:
    """Return every scheme by name, sorted."""
    found: dict[str, Scheme] = {}
    for info in pkgutil.iter_modules(_package.__path__):
        scheme = getattr(importlib.import_module(f"sdk.schemes.{info.name}"), "SCHEME", None)
        if isinstance(scheme, Scheme):
            found[scheme.name] = scheme
    return dict(sorted(found.items()))


def scheme_named(name: str) -> Scheme:
    """Return the scheme called `name`; BadInput names the nearest when there is none."""
    schemes = all_schemes()
    if name in schemes:
        return schemes[name]
    near = difflib.get_close_matches(name, schemes, n=1, cutoff=0.3)
    raise BadInput(f"no scheme is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
