"""Signs a fleet: every variant, and over them a statement of `fleet.json`, the selector and every file of every variant."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.bundles import PROVENANCE, Finding, contents, write_bundle
from sdk.errors import CheckFailed
from sdk.release.evidence import sign_bundle
from sdk.release.evidence.checking import opened, release_findings, same_files
from sdk.release.evidence.envelope import seal_statement
from sdk.release.evidence.statement import BUILDER, PREDICATE, STATEMENT, digests, release_of, subjects
from sdk.release.fleet.manifest import FOLDER, FleetManifest, open_fleet

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

BUILD_TYPE = "urn:snugfit:fleet:v1"


def sign_fleet(path: Path, key: Ed25519PrivateKey, release: int | None = None) -> FleetManifest:
    """Sign the fleet at `path` and all of its variants, whole or not at all; older evidence is replaced.

    `release` as for `sign_bundle`. The same fleet, key and number give the same bytes. CheckFailed when a file of it does
    not verify; BadInput when it cannot be written.
    """
    fleet = open_fleet(path)

    def fill(folder: Path) -> None:
        for name, source in contents(path).items():
            if name != PROVENANCE:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / name)
        for variant in fleet.variants:
            sign_bundle(folder / variant.id, key, release)
        (folder / PROVENANCE).write_bytes(seal_statement(_statement(folder, fleet, release), key))

    write_bundle(path, fill, FOLDER)
    return fleet


def check_fleet_evidence(
    path: Path, fleet: FleetManifest, key: Ed25519PublicKey | None, newer_than: int | None
) -> list[Finding]:
    """Return what was checked of the fleet's own statement, as `check_evidence` does for a bundle."""
    if not (path / PROVENANCE).exists() and not (path / PROVENANCE).is_symlink():
        said = "the fleet is not signed: `sdk sign FLEET --key FILE`"
        return [Finding("signature", False, said)] if key else []
    try:
        found = digests(path)  # refuses a link or a device before anything is read through it
        statement, signed = opened((path / PROVENANCE).read_bytes(), key)
    except (CheckFailed, OSError) as error:
        return [Finding("signature", False, str(error))]
    try:
        same_files(subjects(statement), found)
        if statement != _statement(path, fleet, release_of(statement)):
            raise CheckFailed(f"{PROVENANCE} is about another fleet")
    except CheckFailed as error:
        return [signed, Finding("signed content", False, str(error))]
    except (KeyError, TypeError, AttributeError):
        return [signed, Finding("signed content", False, f"{PROVENANCE} is not of the form that this sdk writes: sign again")]
    content = Finding("signed content", True, f"{len(found)} files, as they were signed")
    return [signed, content, *release_findings(release_of(statement), newer_than)]


def _statement(folder: Path, fleet: FleetManifest, release: int | None) -> dict[str, Any]:
    """An in-toto Statement v1 over every file of the fleet but its own; variants have statements of how they were made."""
    numbered = {} if release is None else {"release": release}
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in digests(folder).items()],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": fleet.command, **numbered},
                "internalParameters": {"loss": fleet.loss, "max_variants": fleet.max_variants},
                "resolvedDependencies": [{"name": "model", "digest": {"sha256": fleet.model.digest}}],
            },
            "runDetails": {
                "builder": {"id": BUILDER}, "metadata": {"invocationId": f"urn:snugfit:fleet:{fleet.digest}"},
            },
        },
    }  # fmt: skip
