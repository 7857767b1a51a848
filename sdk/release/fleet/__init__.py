"""Fleets: few variants of one model that together serve many devices."""

from sdk.release.fleet.build import package_fleet
from sdk.release.fleet.choose import Choice, Chooser, chooser_of
from sdk.release.fleet.file import FleetFile, Group, even_fleet, load_fleet
from sdk.release.fleet.manifest import FLEET, FleetManifest, check_place, is_fleet, open_fleet
from sdk.release.fleet.members import Member, members_of
from sdk.release.fleet.signing import check_fleet_evidence, sign_fleet
from sdk.release.fleet.verifying import check_fleet, verify_fleet

__all__ = [
    "FLEET", "Choice", "Chooser", "FleetFile", "FleetManifest", "Group", "Member", "check_fleet", "check_fleet_evidence",
    "check_place", "chooser_of", "even_fleet", "is_fleet", "load_fleet", "members_of", "open_fleet", "package_fleet",
    "sign_fleet", "verify_fleet",
]  # fmt: skip
