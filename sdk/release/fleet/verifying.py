"""Whether a fleet is still the one that was written: its selector, and every variant as `sdk verify` checks a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.bundles import PROVENANCE, Finding, open_bundle
from sdk.errors import SdkError
from sdk.progress import Reporter
from sdk.release.evidence import verify_signed
from sdk.release.fleet.manifest import FLEET, FleetManifest, VariantEntry, open_fleet
from sdk.release.fleet.signing import check_fleet_evidence
from sdk.release.selector import selector_files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def verify_fleet(
    path: Path, key: Ed25519PublicKey | None, report: Reporter, newer_than: int | None = None
) -> list[Finding]:
    """Return what was checked; a variant's findings begin with its id. CheckFailed when `fleet.json` itself was changed.

    With `key` the fleet and every variant must be signed by it (as a release after `newer_than`); where the fleet's own
    evidence fails, nothing else is looked at.
    """
    fleet = open_fleet(path)
    findings = check_fleet_evidence(path, fleet, key, newer_than)
    if not all(found.ok for found in findings):
        return findings
    return findings + check_fleet(path, fleet, lambda folder: verify_signed(folder, key, report, newer_than))


def check_fleet(path: Path, fleet: FleetManifest, verify: Callable[[Path], list[Finding]]) -> list[Finding]:
    """Return what was checked apart from the fleet's own evidence; `verify` checks one variant's bundle."""
    findings = [_selector(path, fleet), _strangers(path, fleet)]
    for variant in fleet.variants:
        findings += _variant(path / variant.id, variant, verify)
    return findings


def _selector(path: Path, fleet: FleetManifest) -> Finding:
    try:
        found = selector_files(path)
    except (SdkError, OSError) as error:
        return Finding("selector", False, str(error))
    changed = sorted(name for name in {*found, *fleet.selector} if found.get(name) != fleet.selector.get(name))
    said = f"{changed[0]} was changed after it was written" if changed else f"{len(found)} files as they were written"
    return Finding("selector", not changed, said)


def _strangers(path: Path, fleet: FleetManifest) -> Finding:
    known = {FLEET, PROVENANCE, *(name.partition("/")[0] for name in fleet.selector), *(variant.id for variant in fleet.variants)}
    extra = sorted(each.name for each in path.iterdir() if each.name not in known and each.name[0] != ".")
    return Finding("other files", not extra, f"not written by sdk: {', '.join(extra)}" if extra else "nothing else is there")


def _variant(path: Path, variant: VariantEntry, verify: Callable[[Path], list[Finding]]) -> list[Finding]:
    if path.is_symlink():
        return [Finding(variant.id, False, "is a symbolic link, not a bundle")]
    try:
        digest = open_bundle(path).manifest.digest
    except SdkError as error:
        return [Finding(variant.id, False, str(error))]
    if digest != variant.digest:
        said = f"is another bundle: its manifest is {digest[:12]}, {FLEET} says {variant.digest[:12]}"
        return [Finding(variant.id, False, said)]
    return [Finding(f"{variant.id}: {each.what}", each.ok, each.detail) for each in verify(path)]
