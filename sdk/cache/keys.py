"""What a cache entry is filed under: a digest of everything that decides its content, the code that makes it included."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VERSION = 1
"""Raised when the layout of entries changes; what the code computes is told apart by `code_digest`."""

_SOURCES = (".py", ".yaml", ".json", ".csv")


def key_of(*parts: Any) -> str:
    """Return the key (32 hexadecimal digits) of `parts`: plain data whose canonical JSON is hashed.

    The machine's architecture and `VERSION` are part of every key.
    """
    text = json.dumps([VERSION, platform.machine(), *parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_digest(*packages: str) -> str:
    """Return a digest of the source files (code and tables) of `packages`, so that an edit of them is another key.

    Names are import paths; a plain module counts as its one file. What is not on disk (a zip) counts by name.
    """
    digest = hashlib.sha256()
    for package in sorted(set(packages)):
        digest.update(package.encode())
        for name, path in _files(package):
            digest.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _files(package: str) -> list[tuple[str, Path]]:
    spec = find_spec(package)
    if spec is None:
        return []
    if not spec.submodule_search_locations:
        path = Path(spec.origin or "")
        return [(path.name, path)] if path.is_file() else []
    found = []
    for root in map(Path, spec.submodule_search_locations):
        found += [(p.relative_to(root).as_posix(), p) for p in root.rglob("*") if p.suffix in _SOURCES and p.is_file()]
    return sorted(found)


@cache
def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of `packages`, `unknown` for those that are absent."""
    return {name: _version(name) for name in sorted(packages)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
