"""Writes one file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sdk.errors import BadInput


def write_whole(path: Path, text: str) -> None:
    """Write `text` (UTF-8) beside `path`, flush it to disk and rename it into place; BadInput when that cannot be done."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({(error.strerror or str(error)).lower()}): name another place") from None
