"""The devices of a fleet: profile, share, limits, and which targets each can run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

from sdk.config import Budgets
from sdk.devices import DeviceProfile, find_device
from sdk.devices.profile import Family
from sdk.errors import BadInput, Missing
from sdk.lowering import Target
from sdk.pipeline import Request
from sdk.pipeline.accelerating import resolve_target
from sdk.pipeline.choosing import limits_of
from sdk.pipeline.planning import newest_os
from sdk.planning import Limits
from sdk.release.fleet.file import FleetFile, Group

LOADED = 2
"""Memory that a loaded model takes at most, in sizes of its file (Llama-3.2-1B: a file of 1083 MiB, 1921 MiB resident)."""

EVERY_FAMILY: frozenset[str] = frozenset(get_args(Family))
"""What a device runs whose profile says nothing of a target."""


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a fleet.

    `spelling`: as it was named, for `find_device`; `share` of all installs; `limits` that its variant must keep, bytes
    within what its memory holds; `objective` of its own plan; `targets` that run there and are installed here, by name.
    """

    spelling: str
    profile: DeviceProfile
    group: str
    share: float
    limits: Limits
    objective: str
    targets: dict[str, Target] = field(repr=False)
    min_os: float | None = None

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.profile.name

    @property
    def looks(self) -> tuple[str, str, int | None]:
        """What an app can tell of it: OS, SoC and RAM (bytes)."""
        ram = self.profile.ram
        return self.profile.os.name, self.profile.soc.name.value, ram.value if ram else None

    def floor(self, target: Target) -> float | None:
        """The least OS version that matters to `target`; None where its table tells none apart."""
        newest = newest_os(target)
        if newest is None:
            return None
        stated = self.version
        return stated if stated is not None else newest

    @property
    def version(self) -> float | None:
        """The least OS version of this device's units, if known."""
        floor = self.profile.os.floor
        return self.min_os if self.min_os is not None else floor.value if floor is not None else None

    def families(self, target: str) -> frozenset[str]:
        """The scheme families that it runs with `target`."""
        return self.profile.families(target) or EVERY_FAMILY


def members_of(fleet: FleetFile, request: Request, targets: tuple[str, ...] = ("auto",)) -> tuple[Member, ...]:
    """Return the fleet's devices by name. BadInput, also for a device that is there twice; Missing.

    `request` holds the budgets of those that the fleet gives none; `targets`: names, or `auto` for all that a
    profile lists and that are installed.
    """
    found: dict[str, Member] = {}
    for group, share in zip(fleet.groups, fleet.shares, strict=True):
        for spelling in group.devices:
            member = _member(spelling, group, share / len(group.devices), fleet, request, targets)
            other = found.setdefault(member.name, member)
            if other is not member:
                raise BadInput(f"fleet: device {member.name} is in {other.group!r} and in {member.group!r}: keep it once")
    return tuple(found[name] for name in sorted(found))


def _member(
    spelling: str, group: Group, share: float, fleet: FleetFile, request: Request, targets: tuple[str, ...]
) -> Member:
    profile = find_device(spelling)
    budgets = next((each for each in (group.budgets, fleet.budgets) if each != Budgets()), None)
    if budgets is not None:
        request = replace(request, max_size=budgets.max_size, max_loss=budgets.max_loss)
    limits, objective = limits_of(request, profile)
    if limits.rows:
        raise BadInput(f"fleet: {' and '.join(limits.rows)}: a fleet is planned by size and loss: package its devices one by one")
    return Member(
        spelling=spelling, profile=profile, group=group.name or profile.name, share=share,
        limits=_within_memory(limits, profile), objective=objective,
        targets=_targets(profile, request, targets),
        min_os=group.min_os if group.min_os is not None else request.min_os,
    )  # fmt: skip


def _within_memory(limits: Limits, profile: DeviceProfile) -> Limits:
    if profile.app_memory is None:
        return limits
    most = profile.app_memory.value // LOADED
    return Limits(most if limits.max_size is None else min(limits.max_size, most), limits.max_loss)


def _targets(profile: DeviceProfile, request: Request, names: tuple[str, ...]) -> dict[str, Target]:
    """All of `names` that run on the device; the reason for the last that does not when none does."""
    wanted = profile.targets if names == ("auto",) else names
    found: dict[str, Target] = {}
    refused: BadInput | Missing | None = None
    for name in wanted:
        try:
            target = resolve_target(replace(request, target=name), profile)
            found[target.name] = target
        except Missing as error:
            if names != ("auto",):
                raise
            refused = refused or error
        except BadInput as error:
            refused = error
    if not found and refused is not None:
        raise refused
    return found
