"""What is signed: an in-toto Statement v1 over every file of a bundle, with a SLSA Provenance v1 predicate.

Shapes: github.com/in-toto/attestation spec/v1/statement.md and slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.bundles import PROVENANCE, Manifest, contents, sha256_file
from sdk.release.evidence.bom import package_url

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:snugfit:package:v1"
BUILDER = "urn:snugfit:sdk"


def statement_of(folder: Path, manifest: Manifest, release: int | None = None) -> dict[str, Any]:
    """Return the statement of the bundle in `folder`, signed as `release`; its subjects are all files but the statement's."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests(folder).items()],
        "predicateType": PREDICATE,
        "predicate": {"buildDefinition": _definition(manifest, release), "runDetails": _details(manifest)},
    }


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of the bundle by name, hidden ones too; CheckFailed for links and devices."""
    return {name: sha256_file(path) for name, path in contents(folder).items() if name != PROVENANCE}


def subjects(statement: dict[str, Any]) -> dict[str, str]:
    """Return the names and digests that a statement is about; KeyError or TypeError when it is none."""
    return {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}


def release_of(statement: dict[str, Any]) -> int | None:
    """Return the number of the release that the bundle was signed as, or None; KeyError or TypeError when it is no statement."""
    release: int | None = statement["predicate"]["buildDefinition"]["externalParameters"].get("release")
    if release is not None and not isinstance(release, int):
        raise TypeError("a release is a whole number")
    return release


def dependencies(statement: dict[str, Any]) -> dict[str, str]:
    """Return what the artifact was made from: digests, and the versions of tools, by name."""
    found = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {each["name"]: each["annotations"]["version"] if "annotations" in each else each["digest"]["sha256"] for each in found}


def made_from(manifest: Manifest) -> dict[str, str]:
    """Return what `dependencies` has to hold according to the manifest."""
    given = {"calibration": manifest.calibration.digest} if manifest.calibration else {}
    return {"model": manifest.model.digest, **given, **{f"tool:{k}": v for k, v in manifest.tool_versions.items()}}


def _definition(manifest: Manifest, release: int | None) -> dict[str, Any]:
    project = {"project": {"name": "sdk.yaml", "digest": {"sha256": manifest.project_sha256}}} if manifest.project_sha256 else {}
    numbered = {} if release is None else {"release": release}
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {"command": manifest.command, **project, **numbered},
        "internalParameters": {
            "device": manifest.device, "loss": manifest.loss, "min_os": manifest.min_os, "target": manifest.target,
            "plan": {"name": "plan.yaml", "digest": {"sha256": manifest.plan_sha256}},
        },
        "resolvedDependencies": [_dependency(name, value) for name, value in sorted(made_from(manifest).items())],
    }  # fmt: skip


def _dependency(name: str, value: str) -> dict[str, Any]:
    kind, colon, tool = name.partition(":")
    if colon and kind == "tool":
        return {"name": name, "uri": package_url(tool, value), "annotations": {"version": value}}
    return {"name": name, "digest": {"sha256": value}}


def _details(manifest: Manifest) -> dict[str, Any]:
    version = manifest.tool_versions.get("snugfit", "unknown")
    return {
        "builder": {"id": BUILDER, "version": {"snugfit": version}},
        "metadata": {"invocationId": f"urn:snugfit:manifest:{manifest.digest}"},
    }
