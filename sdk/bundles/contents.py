"""What lies in a bundle's directory: plain files and folders, and nothing that leads anywhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sdk.errors import CheckFailed


def contents(root: Path) -> dict[str, Path]:
    """Return every file below `root` by its relative POSIX path, in sorted order.

    CheckFailed at the first entry that is neither a plain file nor a folder (a link, a device, a pipe); nothing
    is opened.
    """
    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            path = Path(entry.path)
            name = path.relative_to(root).as_posix()
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif stat.S_ISREG(mode):
                found[name] = path
            else:
                raise CheckFailed(f"{root.name}: {name} is {kind_of(mode)}, not a file or folder: remove it")
    return dict(sorted(found.items()))


def kind_of(mode: int) -> str:
    """Say in two words what a file of this `st_mode` is."""
    kinds = (
        (stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"), (stat.S_ISCHR, "a device"), (stat.S_ISDIR, "a folder"),
    )  # fmt: skip
    return next((words for test, words in kinds if test(mode)), "a file")
