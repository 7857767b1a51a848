"""Whether the evidence in a bundle is authentic, is about these very files, and says of them what the manifest says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.bundles import BOM, PROVENANCE, Finding, Manifest, open_bundle
from sdk.errors import CheckFailed
from sdk.pipeline import verify_bundle
from sdk.progress import Reporter
from sdk.release.evidence.bom import stated_tools
from sdk.release.evidence.envelope import read_envelope, signed_by
from sdk.release.evidence.statement import (
    PREDICATE,
    STATEMENT,
    dependencies,
    digests,
    made_from,
    release_of,
    subjects,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_VERSION = re.compile(r"([A-Za-z][\w-]*) (\d+(?:\.\w+)+)")


def verify_signed(path: Path, key: Ed25519PublicKey | None, report: Reporter, newer_than: int | None = None) -> list[Finding]:
    """Check the evidence of the bundle at `path`, then the bundle: what is not signed as asked is not loaded."""
    signed = check_evidence(path, key, newer_than)
    return [*signed, *verify_bundle(path, report)] if all(found.ok for found in signed) else signed


def check_evidence(path: Path, key: Ed25519PublicKey | None, newer_than: int | None = None) -> list[Finding]:
    """Return what was checked about the evidence in the bundle at `path`, up to the first thing that fails.

    With `key`, a bundle that is not signed by it fails, and with `newer_than` one that was signed as that release, as an
    earlier one or as none. Without, evidence that is there must be about these files, and
    the finding says that nobody checked who signed it. BadInput when there is no bundle, or a newer sdk wrote it.
    """
    try:
        manifest = open_bundle(path).manifest
        raw = _evidence(path)
    except (CheckFailed, OSError) as error:
        return [Finding("signature", False, str(error))]
    if raw is None:
        return [Finding("signature", False, "the bundle is not signed: `sdk sign BUNDLE --key FILE`")] if key else []
    try:
        statement, signed = opened(raw, key)
    except CheckFailed as error:
        return [Finding("signature", False, f"{PROVENANCE}: {error}")]
    content = _content(path, manifest, statement)
    if all(found.ok for found in content):
        content += release_findings(release_of(statement), newer_than)
    return [signed, *content]


def opened(raw: bytes, key: Ed25519PublicKey | None) -> tuple[dict[str, Any], Finding]:
    """Return the statement in an envelope, and who signed it; CheckFailed when that is not `key`."""
    statement, payload, name, signature = read_envelope(raw)
    if key:
        signed_by(payload, name, signature, key)
    said = f"ed25519, key {name[:12]}" if key else f"says key {name[:12]}: not checked, `--key` was not given"
    return statement, Finding("signature", True, said)


def _evidence(path: Path) -> bytes | None:
    there = [name for name in (BOM, PROVENANCE) if (path / name).exists() or (path / name).is_symlink()]
    if not there:
        return None
    if len(there) == 1:
        raise CheckFailed(f"{there[0]} is there without the other file of the evidence: sign again")
    digests(path)  # refuses a link or a device before anything is read through it
    return (path / PROVENANCE).read_bytes()


def _content(path: Path, manifest: Manifest, statement: dict[str, Any]) -> list[Finding]:
    try:
        same_files(subjects(statement), digests(path))
        _same_facts(manifest, statement, json.loads((path / BOM).read_bytes()))
    except CheckFailed as error:
        return [Finding("signed content", False, str(error))]
    except (KeyError, TypeError, ValueError, AttributeError):
        return [Finding("signed content", False, f"{PROVENANCE} or {BOM} is not of the form that this sdk writes: sign again")]
    return [
        Finding("signed content", True, f"{len(statement['subject'])} files, as they were signed"),
        Finding("tools", True, f"{len(manifest.tool_versions)} versions agree in manifest, BOM and provenance"),
    ]


def release_findings(release: int | None, newer_than: int | None) -> list[Finding]:
    """A whole older bundle carries its own valid signature: only the number that was signed with it tells."""
    if newer_than is None:
        return [] if release is None else [Finding("release", True, f"signed as release {release}")]
    if release is None:
        return [Finding("release", False, "signed without a release number: `sdk sign --release N`")]
    if release <= newer_than:
        return [Finding("release", False, f"signed as release {release}, not newer than {newer_than}: an older bundle")]
    return [Finding("release", True, f"signed as release {release}, newer than {newer_than}")]


def same_files(signed: dict[str, str], found: dict[str, str]) -> None:
    """Raise CheckFailed at the first file whose sha256 is not as it was signed, or that is there on one side only."""
    for name in sorted({*signed, *found}):
        if name not in found:
            raise CheckFailed(f"{name} was removed after it was signed")
        if name not in signed:
            raise CheckFailed(f"{name} was added after it was signed")
        if signed[name] != found[name]:
            raise CheckFailed(f"{name} was changed after it was signed, or the signature is of another bundle")


def _same_facts(manifest: Manifest, statement: dict[str, Any], bom: dict[str, Any]) -> None:
    """A signature is no help when what was signed contradicts itself."""
    if (statement["_type"], statement["predicateType"]) != (STATEMENT, PREDICATE):
        raise CheckFailed(f"{PROVENANCE} states {statement['predicateType']!r}, not {PREDICATE}")
    details = statement["predicate"]["runDetails"]["metadata"]["invocationId"]
    if not details.endswith(f":{manifest.digest}"):
        raise CheckFailed(f"{PROVENANCE} is about another manifest: it is of another bundle")
    _agree(made_from(manifest), dependencies(statement), PROVENANCE)
    _agree(manifest.tool_versions, stated_tools(bom), BOM)
    _agree_with_run(manifest)
    artifact = bom["metadata"]["component"]["hashes"][0]["content"]
    if artifact != manifest.artifact.sha256:
        raise CheckFailed(f"{BOM} is about another artifact ({artifact[:12]}, not {manifest.artifact.sha256[:12]})")


def _agree_with_run(manifest: Manifest) -> None:
    stated = {name.replace("_", "-"): version for name, version in manifest.tool_versions.items()}
    for tool, version in _VERSION.findall(manifest.runtime):
        said = stated.get(tool.replace("_", "-"), version)
        if said.partition("+")[0] != version:
            raise CheckFailed(f"tool {tool}: {version} executed the artifact, but the manifest states {said}")


def _agree(stated: dict[str, str], found: dict[str, str], where: str) -> None:
    for name in sorted({*stated, *found}):
        if stated.get(name) != found.get(name):
            said = found.get(name, "nothing")
            raise CheckFailed(f"{name}: the manifest states {stated.get(name, 'nothing')}, {where} {said}")
