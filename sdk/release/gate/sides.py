"""The two bundles that are compared, with their plans and what `sdk check` measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdk.bundles import Bundle, Manifest, sound_bundle
from sdk.check.result import CheckResult, read_result
from sdk.config import Gate
from sdk.errors import BadInput
from sdk.planning import Plan, parse_plan


@dataclass(frozen=True, slots=True)
class Side:
    """One bundle: its manifest and plan, and a check result where one was given."""

    path: str
    manifest: Manifest
    plan: Plan
    check: CheckResult | None


@dataclass(frozen=True, slots=True)
class Sides:
    """The bundle to judge, the one that it is compared with, and what is allowed."""

    candidate: Side
    baseline: Side
    limits: Gate


def read_side(path: Path, check: Path | None) -> Side:
    """Read a bundle whose files are the ones that were written; CheckFailed when they are not.

    BadInput when the check result is of another bundle.
    """
    bundle = sound_bundle(path)
    return Side(str(path), bundle.manifest, parse_plan(bundle.plan, f"{path}/plan.yaml"), _check(bundle, check))


def _check(bundle: Bundle, path: Path | None) -> CheckResult | None:
    if path is None:
        return None
    result = read_result(path)
    written = bundle.manifest.artifact.sha256
    if result.bundle.artifact_sha256 != written:
        raise BadInput(
            f"{path}: bundle.artifact_sha256: {result.bundle.artifact_sha256[:12]}: is not that of {bundle.path} "
            f"({written[:12]}): run `sdk check {bundle.path} --out {path}`"
        )
    return result
