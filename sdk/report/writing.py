"""Where reports and fronts may be written: never over a file that is somebody's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sdk.errors import BadInput

GENERATOR = "snugfit report"
"""What a report says made it; a file that says so may be replaced by a newer one."""


def check_place(path: Path, option: str, marks: Sequence[str]) -> None:
    """Raise BadInput unless `path` can be written and is free or a file that starts with one of `marks` in its first lines."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        why = "is a directory" if path.is_dir() else f"{path.parent} is not a writable directory"
        raise BadInput(f"{option} {path}: {why}: name another file")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(1000).decode("utf-8", "replace")
        if not any(mark in start for mark in marks):
            raise BadInput(f"{option} {path}: exists and was not written by this command: name another file, or remove it")
