"""Zip archives that are the same bytes every time: sorted names, one time, one mode, nothing compressed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

_TIME = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip can hold."""
_MODE = 0o100644 << 16


def write_zip(path: Path, entries: Mapping[str, bytes | Path]) -> None:
    """Write `entries` (name → content, or the file that holds it) as a zip; artifacts stay uncompressed, to be mapped."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, content in sorted(entries.items()):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_STORED, _MODE, 3
            if isinstance(content, bytes):
                archive.writestr(info, content)
                continue
            info.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, 1 << 20)
