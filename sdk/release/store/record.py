"""What a release says of itself: `release.json` lists every file with its sha256, and the validator reads it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sdk.bundles import Finding, Kind, contents, sha256_file
from sdk.errors import BadInput, CheckFailed
from sdk.release.store.variants import Source

RECORD = "release.json"
FOLDER = Kind("release", (RECORD,))

Store = Literal["google-play", "app-store"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VariantRecord(_Frozen):
    """One variant: its artifact and manifest, and the devices that it is for; `folder`: where an app finds it."""

    id: str
    folder: str
    target: str
    min_os: float | None
    devices: tuple[str, ...]
    artifact: str
    bytes: int
    sha256: str
    manifest: str


class ReleaseRecord(_Frozen):
    """Everything that a release says of itself; `forms` are the ways that it can be shipped in."""

    schema_version: Literal[1] = 1
    store: Store
    pack: str
    model: str
    delivery: str
    fallback: str | None = None
    forms: tuple[str, ...]
    variants: tuple[VariantRecord, ...]
    files: dict[str, str] = {}


def variant_records(source: Source) -> tuple[VariantRecord, ...]:
    """Return what the record says of the variants of `source`."""
    return tuple(
        VariantRecord(
            id=each.id, folder=each.folder, target=each.bundle.manifest.target, min_os=each.bundle.manifest.min_os,
            devices=tuple(sorted(device.name for device in each.devices)), artifact=each.bundle.manifest.artifact.path,
            bytes=each.bundle.manifest.artifact.bytes, sha256=each.bundle.manifest.artifact.sha256,
            manifest=each.bundle.manifest.digest,
        )
        for each in source.variants
    )  # fmt: skip


def write_record(folder: Path, record: ReleaseRecord) -> None:
    """Write `release.json` over all files that are in `folder`."""
    files = {name: sha256_file(path) for name, path in contents(folder).items()}
    whole = record.model_copy(update={"files": files})
    text = json.dumps(whole.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path) -> ReleaseRecord:
    """Read the record of the release in `folder`; BadInput when there is none, CheckFailed when it is broken."""
    path = folder / RECORD
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"{folder}: is not a release: it has no {RECORD}; name a folder that `sdk release` wrote")
    try:
        return ReleaseRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckFailed(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}: release again") from None


def same_files(folder: Path, record: ReleaseRecord) -> Finding:
    """Compare every file of the release with the record."""
    try:
        found = {name: sha256_file(path) for name, path in contents(folder).items() if name != RECORD}
    except (CheckFailed, OSError) as error:
        return Finding("files", False, str(error))
    for name in sorted({*found, *record.files}):
        if found.get(name) != record.files.get(name):
            how = "changed" if name in found and name in record.files else "added" if name in found else "removed"
            return Finding("files", False, f"{name} was {how} after the release was written")
    return Finding("files", True, f"{len(found)} files as they were written")


def check_release(folder: Path) -> list[Finding]:
    """Validate the release in `folder` against its store's published rules: every rule, and whether it holds."""
    from sdk.release.store.android.validate import ANDROID
    from sdk.release.store.ios.validate import IOS

    record = read_record(folder)
    rules = ANDROID if record.store == "google-play" else IOS
    first = same_files(folder, record)
    return [first, *(found_by(rule, folder, record) for rule in rules)] if first.ok else [first]


Rule = Callable[[Path, ReleaseRecord], str]
"""Checks one published rule: returns what it found, in words; CheckFailed when it does not hold."""


def found_by(rule: Rule, folder: Path, record: ReleaseRecord) -> Finding:
    """Return the finding of one rule; it is named by the words before the colon of its docstring."""
    what = (rule.__doc__ or rule.__name__).partition(":")[0]
    try:
        return Finding(what, True, rule(folder, record))
    except (CheckFailed, OSError, KeyError, ValueError) as error:
        return Finding(what, False, str(error))
