"""Locks of cache entries between processes and threads; they vanish with whoever held them, killed or not."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at `path`; yields whether it is held.

    It is not where the file cannot be made or locked (a read-only cache), or where `wait` is False and somebody
    else holds it. Who held it alone removes the file.
    """
    handle = _acquire(path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        if not shared:
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(handle)


def _acquire(path: Path, mode: int) -> int | None:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return None
        try:
            fcntl.flock(handle, mode)
            if _same(handle, path):
                return handle
            os.close(handle)  # the holder before us removed the file while we waited: lock the one that is there now
        except OSError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise


def _same(handle: int, path: Path) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    held = os.fstat(handle)
    return (held.st_ino, held.st_dev) == (found.st_ino, found.st_dev)
