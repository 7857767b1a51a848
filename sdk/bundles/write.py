"""Writes a folder (a bundle, a fleet) whole or not at all: a hidden sibling directory, flushed, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sdk.bundles.exchange import exchange
from sdk.bundles.manifest import MANIFEST, PLAN
from sdk.bundles.stops import held_stops
from sdk.errors import BadInput, CheckFailed

_MARK = ".sdk-tmp-"
_YOUNG = 60.0
"""Seconds during which an unlocked temporary may belong to a process that is just about to lock it."""
_FULL_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FULL = ("no space left", "os error 28", "file too large", "os error 27", "disk quota exceeded")
"""How toolchains written in other languages say that the disk is full."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of folder that is written whole: what people call it, the files that mark a finished one, what names its place."""

    noun: str
    marks: tuple[str, ...]
    option: str = "--out"

    def at(self, path: Path) -> bool:
        """Say whether the directory at `path` looks like a finished one."""
        return path.is_dir() and all((path / mark).is_file() for mark in self.marks)


BUNDLE = Kind("bundle", (MANIFEST, PLAN))


def check_writable(out: Path, kind: Kind = BUNDLE) -> None:
    """Raise BadInput when a `kind` cannot be written at `out`; asked before any heavy work. Leaves nothing."""
    place = _place(out, kind)
    try:
        with held_stops(), _parents(place.parent), _temporary(place, kind):
            pass
    except OSError as error:
        raise _refused(out, error, kind) from None


def write_bundle(out: Path, fill: Callable[[Path], None], kind: Kind = BUNDLE) -> Path:
    """Call `fill` on an empty directory and put that directory at `out`, atomically; return `out`.

    An existing `kind` at `out` is exchanged for the new one; anything else there is refused. When `fill` raises,
    nothing is left and an old one is untouched. BadInput when the place is unwritable or the disk is full.
    """
    place = _place(out, kind)
    filling = False
    try:
        with held_stops() as stops, _parents(place.parent):
            with _temporary(place, kind) as temporary:
                with stops.allowed():
                    filling = True
                    fill(temporary)
                    filling = False
                    _flush(temporary)
                _put(temporary, place, kind)
            _sync(place.parent)
    except OSError as error:
        if filling and error.errno not in _FULL_NUMBERS:
            raise
        raise _refused(out, error, kind) from error
    except Exception as error:
        if filling and any(words in str(error).lower() for words in _FULL):
            raise BadInput(f"{out}: the disk is full: free some space or choose another {kind.option}") from error
        raise
    return out


def is_bundle(path: Path) -> bool:
    """Say whether the directory at `path` looks like one that `write_bundle` filled."""
    return BUNDLE.at(path)


def _place(out: Path, kind: Kind) -> Path:
    """Return the real path of `out`, which must be free, empty or hold a `kind`."""
    try:
        place = Path(os.path.realpath(out))
        if not place.name:
            raise BadInput(f"{out}: is no place for a {kind.noun}: name a new directory with {kind.option}")
        if not place.exists():
            return place
        if not place.is_dir():
            raise BadInput(f"{out}: is a file: a {kind.noun} is a directory, choose another {kind.option}")
        if not kind.at(place) and any(place.iterdir()):
            raise BadInput(f"{out}: is a directory but not a {kind.noun}, so it is not replaced: choose another {kind.option}")
    except (OSError, ValueError) as error:
        raise _refused(out, error, kind) from None
    return place


def _refused(out: Path, error: OSError | ValueError, kind: Kind) -> BadInput:
    number = error.errno if isinstance(error, OSError) else None
    reason = ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
    if number in _FULL_NUMBERS:
        return BadInput(f"{out}: the disk is full ({reason}): free some space or choose another {kind.option}")
    return BadInput(f"{out}: cannot be written ({reason}): choose another {kind.option}")


@contextlib.contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Make the missing folders above the bundle; on failure remove those that were made."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    try:
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
        yield
    finally:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()  # refused where the bundle now is


@contextlib.contextmanager
def _temporary(place: Path, kind: Kind) -> Iterator[Path]:
    """A locked hidden directory beside `place`, removed at the end; first removes those of dead processes. Stops are held."""
    _clean(place, kind)
    temporary = place.parent / f".{place.name}{_MARK}{os.getpid()}-{time.monotonic_ns():x}"
    try:
        temporary.mkdir()
        lock = os.open(temporary, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield temporary
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _clean(place: Path, kind: Kind) -> None:
    for found in sorted(place.parent.glob(f".{_escaped(place.name)}{_MARK}*")):
        if not _stale(found):
            continue
        if kind.at(found) and not place.exists() and _aside(found):
            os.rename(found, place)  # the old one, moved aside by a process that died before the new one was put
        else:
            shutil.rmtree(found, ignore_errors=True)


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


def _aside(path: Path) -> bool:
    return path.name.endswith("-old")


def _stale(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return not _alive(path) or time.time() - os.stat(path).st_mtime > _YOUNG
    except OSError:
        return False
    finally:
        os.close(lock)


def _alive(path: Path) -> bool:
    owner = path.name.rpartition(_MARK)[2].partition("-")[0]
    try:
        os.kill(int(owner), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _put(temporary: Path, place: Path, kind: Kind) -> None:
    if not kind.at(temporary):
        raise CheckFailed(f"{place.name}: the {kind.noun} is not complete: {' or '.join(kind.marks)} was not written")
    if not place.exists() or not any(place.iterdir()):
        os.rename(temporary, place)
    elif not exchange(temporary, place):
        aside = temporary.with_name(f"{temporary.name}-old")
        os.rename(place, aside)
        os.rename(temporary, place)
        shutil.rmtree(aside, ignore_errors=True)


def _flush(root: Path) -> None:
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
