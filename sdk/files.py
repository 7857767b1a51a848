"""Writes one file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sdk.errors import BadInput


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content` (text in UTF-8) beside `path` and rename it into place, flushed to disk; BadInput when that fails."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({(error.strerror or str(error)).lower()}): name another place") from None
