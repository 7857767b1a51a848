"""Content hashes of an artifact, which is a file or a directory of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdk.bundles.contents import contents
from sdk.bundles.manifest import Artifact, File
from sdk.errors import CheckFailed


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_artifact(path: Path) -> Artifact:
    """Return size and hashes of the artifact at `path`; `Artifact.path` is its name.

    A directory's hash is over the lines `sha256 bytes path` of its files in the order of their relative
    paths. CheckFailed when there is nothing, or something in it is neither a file nor a directory.
    """
    if path.is_symlink() or not path.exists():
        raise CheckFailed(f"{path.name}: there is no such artifact")
    if path.is_file():
        return Artifact(path=path.name, bytes=path.stat().st_size, sha256=sha256_file(path))
    files = {name: File(bytes=each.stat().st_size, sha256=sha256_file(each)) for name, each in contents(path).items()}
    lines = "".join(f"{file.sha256} {file.bytes} {name}\n" for name, file in files.items())
    return Artifact(
        path=path.name,
        bytes=sum(file.bytes for file in files.values()),
        sha256=hashlib.sha256(lines.encode()).hexdigest(),
        files=files,
    )


def artifact_bytes(path: Path) -> int:
    """Return the bytes of the artifact at `path`: of the file, or of all files in the directory."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in contents(path).values())
