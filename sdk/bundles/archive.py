"""Unpacks a zipped bundle, and refuses every entry that a bundle cannot have: the archive is not trusted."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sdk.bundles.contents import kind_of
from sdk.errors import CheckFailed

MOST_ENTRIES = 10_000
GROWTH = 100
"""Most times that an archive may grow when unpacked: trained weights shrink to a tenth at best."""
SMALL = 64 * 2**20
"""Bytes that may always be unpacked, however small the archive is."""


@contextlib.contextmanager
def bundle_folder(path: Path) -> Iterator[Path]:
    """Yield the directory of the bundle (or fleet) at `path`: itself, or where a zip of it was unpacked for the time being.

    It may be in one folder inside the zip. CheckFailed as `unpack`.
    """
    if not (path.is_file() and zipfile.is_zipfile(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="sdk-") as folder:
        unpack(path, Path(folder))
        inside = list(Path(folder).iterdir())
        nested = len(inside) == 1 and inside[0].is_dir()  # neither a bundle nor a fleet is one folder alone
        yield inside[0] if nested else Path(folder)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the zip at `archive` into the empty `folder`.

    CheckFailed before anything is written when an entry leaves the folder, is no plain file or folder, comes twice,
    is encrypted, or when the whole is larger than an archive of that size can honestly hold.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = safe_entries(opened, archive.name)
            for entry in entries:
                _write(opened, entry, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise CheckFailed(f"{archive.name}: cannot be unpacked ({str(error).lower()}): pack the bundle again") from None


def safe_entries(opened: zipfile.ZipFile, label: str) -> list[zipfile.ZipInfo]:
    """Return the files of an open archive; CheckFailed, naming `label` and the entry, as `unpack` says."""
    entries = opened.infolist()
    if len(entries) > MOST_ENTRIES:
        raise CheckFailed(f"{label}: has {len(entries)} entries: a bundle has at most {MOST_ENTRIES}")
    seen: set[str] = set()
    for entry in entries:
        problem = _problem(entry)
        if problem:
            raise CheckFailed(f"{label}: entry {entry.orig_filename[:80]!r} {problem}: nothing was unpacked")
        if entry.filename.rstrip("/").casefold() in seen:
            raise CheckFailed(f"{label}: entry {entry.filename[:80]!r} is there twice: nothing was unpacked")
        seen.add(entry.filename.rstrip("/").casefold())
    packed = sum(entry.compress_size for entry in entries)
    size = sum(entry.file_size for entry in entries)
    if size > max(SMALL, GROWTH * packed):
        raise CheckFailed(f"{label}: would grow from {packed:,} to {size:,} bytes: nothing was unpacked")
    return [entry for entry in entries if not entry.is_dir()]


def _problem(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    parts = PurePosixPath(name).parts
    mode = entry.external_attr >> 16
    if not name or name.startswith("/") or "\\" in name or ":" in name or "\0" in name or not name.isprintable():
        return "has an absolute or unreadable name"
    if ".." in parts or "." in name.split("/"):
        return "leaves the folder"
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return f"is {kind_of(mode)}"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    return ""


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    place = folder.joinpath(*PurePosixPath(entry.filename).parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, place.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
