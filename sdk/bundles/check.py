"""Whether a bundle's files are the ones that were written: every byte is under some hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdk.bundles.contents import contents
from sdk.bundles.hashing import describe_artifact, sha256_file
from sdk.bundles.manifest import EVIDENCE, MANIFEST, PLAN, REFERENCE, TOKENIZER, Artifact, Manifest
from sdk.errors import CheckFailed

_BESIDE = frozenset({MANIFEST, PLAN, REFERENCE, *EVIDENCE})
"""Files of a bundle that are not its artifact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: what, whether it holds, and the detail in a few words.

    `done` is False for what could not be checked here: it failed nothing, and it proves nothing.
    """

    what: str
    ok: bool
    detail: str = ""
    done: bool = True


def integrity(path: Path, manifest: Manifest) -> list[Finding]:
    """Compare the artifact, the plan and the recorded run at `path` with the hashes of `manifest`.

    Nothing is opened when something there is neither a file nor a folder.
    """
    try:
        contents(path)
    except (CheckFailed, OSError) as error:
        return [Finding("files", False, str(error))]
    return [
        artifact_finding(path, manifest),
        _file_finding(path, PLAN, manifest.plan_sha256),
        _file_finding(path, REFERENCE, manifest.reference_sha256),
        *_tokenizer(path, manifest),
        _strangers(path, manifest),
    ]


def _tokenizer(path: Path, manifest: Manifest) -> list[Finding]:
    """Compare a language model's tokenizer with the manifest."""
    if manifest.language is None:
        return []
    written = manifest.language.tokenizer
    try:
        found = describe_artifact(path / TOKENIZER)
    except (CheckFailed, OSError) as error:
        return [Finding(TOKENIZER, False, str(error))]
    same = found == written
    return [Finding(TOKENIZER, same, f"sha256 {found.sha256[:12]}" if same else _difference(found, written))]


def artifact_finding(path: Path, manifest: Manifest) -> Finding:
    """Compare the artifact's bytes with the manifest and name the first file that differs."""
    written = manifest.artifact
    what = f"artifact {written.path}"
    if Path(written.path).name != written.path or written.path.startswith(".") or written.path in _BESIDE:
        return Finding(what, False, "its path leads out of the bundle or to another of its files")
    try:
        found = describe_artifact(path / written.path)
    except (CheckFailed, OSError) as error:
        return Finding(what, False, str(error))
    if found == written:
        return Finding(what, True, f"{found.bytes} bytes, sha256 {found.sha256[:12]}")
    return Finding(what, False, _difference(found, written))


def _difference(found: Artifact, written: Artifact) -> str:
    for name in sorted({*found.files, *written.files}):
        if found.files.get(name) != written.files.get(name):
            return f"{name} was {_change(name in found.files, name in written.files)} after it was written"
    if found.bytes != written.bytes:
        return f"has {found.bytes} bytes, {written.bytes} were written"
    return f"its sha256 is {found.sha256[:12]}, {written.sha256[:12]} was written"


def _change(here: bool, there: bool) -> str:
    return "changed" if here and there else "added" if here else "removed"


def _file_finding(path: Path, name: str, sha256: str) -> Finding:
    try:
        same = sha256_file(path / name) == sha256
    except OSError as error:
        return Finding(name, False, f"cannot be read ({(error.strerror or str(error)).lower()})")
    return Finding(name, same, f"sha256 {sha256[:12]}" if same else "was changed after it was written")


def _strangers(path: Path, manifest: Manifest) -> Finding:
    known = _BESIDE | {manifest.artifact.path} | ({TOKENIZER} if manifest.language else set())
    extra = sorted(each.name for each in path.iterdir() if each.name not in known and each.name[0] != ".")
    detail = f"not written by sdk: {', '.join(extra)}" if extra else "nothing else is there"
    return Finding("other files", not extra, detail)
