"""The cache as a whole: find or make an entry under its lock, put it in place by one rename, evict the oldest."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sdk.cache.entries import SEAL, bytes_of, is_intact, seal, sync, touch
from sdk.cache.locks import locked
from sdk.errors import BadInput
from sdk.units import parse_size

LIMIT = 10_000_000_000
"""Bytes that the cache may hold where SDK_CACHE_MAX says nothing."""

LOCKS = "locks"
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_DAMAGED = (OSError, ValueError, KeyError, TypeError)
"""What reading an entry of another layout raises: it is then made again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Usage:
    """How many entries of a kind there are, and their bytes."""

    kind: str
    entries: int
    bytes: int


class Cache:
    """Entries by kind and key in one folder. A cache that cannot be read or written only costs time.

    Two processes never make the same entry at once: the second waits and reads. An entry is whole or absent
    whenever a process is killed; one whose bytes changed is made again. Kinds and keys are lower-case words.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        """`folder` is by default that of `cache_folder`, `limit` (bytes) that of `cache_limit`."""
        self._folder = folder if folder is not None else cache_folder()
        self._limit = limit if limit is not None else cache_limit()

    def fetch(
        self, kind: str, key: str, *, load: Callable[[Path], T], make: Callable[[], T], save: Callable[[T, Path], None]
    ) -> T:
        """Return what `load` reads from the entry's folder; where there is none, what `make` returns.

        The made value is kept by `save`, which writes it into an empty folder.
        """
        with self._lock(kind, key, shared=True):
            found = self._read(kind, key, load)
        if found is not None:
            return found[0]
        with self._lock(kind, key) as held:
            found = self._read(kind, key, load)  # somebody else may have made it meanwhile
            if found is not None:
                return found[0]
            value = make()
            if held:
                self._keep(kind, key, lambda folder: save(value, folder))
        self._evict()
        return value

    def change(self, kind: str, key: str, *, load: Callable[[Path], T], grow: Callable[[T | None], T],
               save: Callable[[T, Path], None]) -> T:
        """Replace an entry by what `grow` makes of it (of None where there is none), with nobody else in between."""
        with self._lock(kind, key) as held:
            found = self._read(kind, key, load)
            value = grow(found[0] if found is not None else None)
            if held:
                self._keep(kind, key, lambda folder: save(value, folder))
        self._evict()
        return value

    def read(self, kind: str, key: str, load: Callable[[Path], T]) -> T | None:
        """Return what `load` reads from the entry, or None where there is none."""
        with self._lock(kind, key, shared=True):
            found = self._read(kind, key, load)
        return found[0] if found is not None else None

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is such an entry; only reading it tells whether it is intact."""
        return (self._place(kind, key) / SEAL).is_file()

    def usage(self) -> tuple[Usage, ...]:
        """What the cache holds, by kind."""
        entries = [path for path in self._entries() if path.name[0] != "."]
        kinds = sorted({path.parent.name for path in entries})
        return tuple(
            Usage(kind, len(each := [p for p in entries if p.parent.name == kind]), sum(map(bytes_of, each))) for kind in kinds
        )

    def clear(self) -> int:
        """Remove every entry that nobody is using now; return the bytes that were freed."""
        return sum(self._remove(path) for path in self._entries())

    def _lock(self, kind: str, key: str, *, shared: bool = False, wait: bool = True) -> contextlib.AbstractContextManager[bool]:
        return locked(self._folder / LOCKS / f"{kind}-{key}", shared=shared, wait=wait)

    def _place(self, kind: str, key: str) -> Path:
        assert _NAME.fullmatch(kind) and _NAME.fullmatch(key) and kind != LOCKS, (kind, key)
        return self._folder / kind / key

    def _read(self, kind: str, key: str, load: Callable[[Path], T]) -> tuple[T] | None:
        place = self._place(kind, key)
        if not is_intact(place):
            return None
        try:
            value = load(place)
        except _DAMAGED:
            return None
        touch(place)
        return (value,)

    def _keep(self, kind: str, key: str, fill: Callable[[Path], None]) -> None:
        """Put a new entry in place; the caller holds its lock, so a temporary that is there is a dead process's."""
        place = self._place(kind, key)
        temporary = place.with_name(f".{key}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            fill(temporary)
            seal(temporary)
            shutil.rmtree(place, ignore_errors=True)
            os.rename(temporary, place)
            sync(place.parent)
        except OSError:
            pass  # a cache that cannot be written only costs time
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _evict(self) -> None:
        """Remove the least recently used entries while the cache is over its limit, and what dead processes left."""
        sizes = {path: bytes_of(path) for path in self._entries()}
        over = sum(sizes.values()) - self._limit
        for path in sorted(sizes, key=_age):
            if over <= 0 and path.name[0] != ".":
                break
            over -= self._remove(path)

    def _remove(self, path: Path) -> int:
        """Remove one entry or temporary unless somebody uses it; the seal goes first, so that half an entry is none."""
        with self._lock(path.parent.name, path.name.removeprefix("."), wait=False) as held:
            if not held:
                return 0
            size = bytes_of(path)
            with contextlib.suppress(OSError):
                (path / SEAL).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            return size

    def _entries(self) -> list[Path]:
        """Every entry and every temporary."""
        try:
            kinds = [path for path in sorted(self._folder.iterdir()) if path.is_dir() and path.name != LOCKS]
            return [entry for kind in kinds for entry in sorted(kind.iterdir()) if entry.is_dir()]
        except OSError:
            return []


def _age(path: Path) -> tuple[bool, float]:
    """Sorts temporaries first, then the entries by their last use."""
    try:
        return path.name[0] != ".", (path / SEAL).stat().st_mtime
    except OSError:
        return path.name[0] != ".", 0.0


def cache_folder() -> Path:
    """Where the cache lives: SDK_CACHE, else the user's cache folder."""
    given = os.environ.get("SDK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "snugfit"


def cache_limit() -> int:
    """Bytes that the cache may hold: SDK_CACHE_MAX (such as 5GB), else 10 GB. BadInput when it cannot be read."""
    given = os.environ.get("SDK_CACHE_MAX")
    if not given:
        return LIMIT
    try:
        return parse_size(given)
    except BadInput as error:
        raise BadInput(f"SDK_CACHE_MAX: {error}") from None
