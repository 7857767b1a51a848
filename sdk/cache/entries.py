"""One entry on disk: a folder of files under a seal that lists their sizes and hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

SEAL = "seal.json"


def seal(folder: Path) -> None:
    """Write the seal of everything in `folder`, then flush all of it to disk. OSError."""
    listed = {name: _described(path) for name, path in _files(folder)}
    (folder / SEAL).write_text(json.dumps(listed, sort_keys=True))
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(root) / name)
        sync(Path(root))


def is_intact(folder: Path) -> bool:
    """Whether `folder` holds an entry whose every byte is as sealed."""
    try:
        listed = json.loads((folder / SEAL).read_text())
        here = dict(_files(folder))
        return isinstance(listed, dict) and {name: _described(path) for name, path in here.items()} == listed
    except (OSError, ValueError):
        return False


def touch(folder: Path) -> None:
    """Note that the entry was read now: the least recently used one is evicted first."""
    with contextlib.suppress(OSError):
        os.utime(folder / SEAL)


def bytes_of(folder: Path) -> int:
    """Bytes of all files below `folder`; what vanishes meanwhile counts nothing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, names in os.walk(folder):
        for name in sorted([*names, *(each for each in folders if os.path.islink(os.path.join(root, each)))]):
            path = Path(root) / name
            if path.is_symlink():
                raise ValueError(f"{path} is a link")
            if path != folder / SEAL:
                yield path.relative_to(folder).as_posix(), path


def _described(path: Path) -> list[object]:
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
