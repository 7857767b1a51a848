"""A finished fleet as the selector's rules see it."""

from __future__ import annotations

from collections.abc import Mapping

from sdk.bundles import Bundle
from sdk.release.fleet.choose import Choice, Variant
from sdk.release.fleet.members import LOADED, Member
from sdk.release.selector import Offer, Phone, SelectorDocument, make_selector


def selector_of(choice: Choice, built: Mapping[str, tuple[Variant, Bundle]]) -> SelectorDocument:
    """Return the rules for the variants in `built` (folder → variant and its bundle)."""
    got = {member.name: folder for folder, (variant, _) in built.items() for member in variant.members}
    offers = [_offer(folder, variant, bundle, choice) for folder, (variant, bundle) in built.items()]
    return make_selector(offers, [_phone(member, got[member.name]) for member in choice.members])


def _phone(member: Member, variant: str) -> Phone:
    system, soc, ram = member.looks
    memory = member.profile.app_memory
    return Phone(
        name=member.name, os=system, min_os=member.version, soc=soc, ram=ram,
        app_memory=memory.value if memory is not None else None, runtimes=frozenset(member.targets),
        max_size=member.limits.max_size, max_loss=member.limits.max_loss, variant=variant,
    )  # fmt: skip


def _offer(folder: str, variant: Variant, bundle: Bundle, choice: Choice) -> Offer:
    candidate, artifact = variant.candidate, bundle.manifest.artifact
    name = candidate.target.name
    here = [member for member in choice.members if name in member.targets]
    able = {member.profile.soc.name.value for member in here if candidate.families <= member.families(name)}
    return Offer(
        id=folder, runtime=name, artifact=f"{folder}/{artifact.path}", sha256=artifact.sha256, bytes=artifact.bytes,
        loaded=LOADED * artifact.bytes, loss=candidate.loss, price=candidate.loss + choice.rate * artifact.bytes,
        min_os=candidate.wish.min_os,
        socs=None if able == {member.profile.soc.name.value for member in here} else tuple(sorted(able)),
    )  # fmt: skip
