"""Fleet → folder: the chosen variants lowered, executed and verified, fleet.json and the selector beside them."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from sdk.bundles import Bundle, open_bundle, write_bundle
from sdk.errors import BudgetError, SdkError
from sdk.pipeline import Request, Workbench, package
from sdk.pipeline.choosing import facts_of
from sdk.pipeline.packaging import ATTEMPTS
from sdk.planning import Limits, Plan, make_plan, plan_text
from sdk.planning.plan import significant
from sdk.progress import Reporter
from sdk.release.fleet.choose import MEGABYTE, Choice, Chooser, Variant
from sdk.release.fleet.manifest import (
    FLEET,
    FOLDER,
    DeviceEntry,
    FleetManifest,
    StepEntry,
    VariantEntry,
    dump,
    open_fleet,
)
from sdk.release.fleet.members import Member
from sdk.release.fleet.rule import selector_of
from sdk.release.selector import selector_files, write_selector


@dataclass(frozen=True, slots=True)
class _Built:
    """A variant's bundle, in the folder called `id`."""

    id: str
    variant: Variant
    bundle: Bundle


def package_fleet(
    chooser: Chooser, most: int, request: Request, out: Path, report: Reporter, bench: Workbench
) -> FleetManifest:
    """Write at most `most` variants, `fleet.json` and the selector to `out`, whole or not at all.

    `request` says everything but device, target, plan and place. Raises as `sdk.pipeline.package`; BudgetError names
    a device that nothing fits.
    """
    choice = chooser.choose(most)

    def fill(folder: Path) -> None:
        final, built = _within_limits(folder, chooser, choice, most, request, report, bench)
        write_selector(folder, selector_of(final, {each.id: (each.variant, each.bundle) for each in built}))
        manifest = _manifest(final, built, most, request, bench, selector_files(folder))
        (folder / FLEET).write_text(dump(manifest), encoding="utf-8")

    write_bundle(out, fill, FOLDER)
    return open_fleet(out)


def _within_limits(
    folder: Path, chooser: Chooser, choice: Choice, most: int, request: Request, report: Reporter, bench: Workbench
) -> tuple[Choice, list[_Built]]:
    """Build the variants, and choose again with the measured difference kept free while a file exceeds a limit."""
    spare: Counter[str] = Counter()
    for _ in range(ATTEMPTS):
        built = _build(folder, choice, request, report, bench)
        over = _excess(built)
        if not over:
            return choice, built
        for target, size in over.items():
            spare[target] += size + 64
            report.note(f"{target}: a file was {size:,} bytes over max_size: the fleet was chosen again with that kept free")
        choice = chooser.choose(most, spare)
    target, size = next(iter(over.items()))
    raise BudgetError(f"fleet: {target}: a finished file is {size:,} bytes over max_size; raise it by that much")


def _excess(built: list[_Built]) -> dict[str, int]:
    """Target → bytes by which its files exceed the tightest limit of a device that gets one."""
    over: dict[str, int] = {}
    for each in built:
        limit = _tightest(each.variant).max_size
        size = each.bundle.manifest.artifact.bytes
        if limit is not None and size > limit:
            name = each.variant.candidate.target.name
            over[name] = max(over.get(name, 0), size - limit)
    return over


def _build(folder: Path, choice: Choice, request: Request, report: Reporter, bench: Workbench) -> list[_Built]:
    for stale in folder.iterdir():
        shutil.rmtree(stale)
    counts: Counter[str] = Counter()
    built = []
    for variant in choice.variants:
        name = variant.candidate.target.name
        counts[name] += 1
        place = folder / f"{name}-{counts[name]}"
        try:
            built.append(_Built(place.name, variant, _package(variant, request, place, report, bench)))
        except SdkError as error:
            served = ", ".join(member.name for member in variant.members)
            error.args = (f"variant {place.name} (for {served}): {error}",)
            raise
    return built


def _package(variant: Variant, request: Request, out: Path, report: Reporter, bench: Workbench) -> Bundle:
    """Package the variant's plan as it is, for the device with the largest share."""
    first = min(variant.members, key=lambda member: (-member.share, member.name))
    min_os = _min_os(variant, first)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.yaml"
        plan.write_text(plan_text(_plan(variant, first, min_os, bench)), encoding="utf-8")
        asked = replace(
            request, device=first.spelling, target=variant.candidate.target.name, min_os=min_os, plan=plan, out=out,
            max_size=None, max_loss=None,
        )  # fmt: skip
        return open_bundle(package(asked, report, bench).path)


def _plan(variant: Variant, first: Member, min_os: float | None, bench: Workbench) -> Plan:
    candidate = variant.candidate
    facts = facts_of(bench, first.profile, candidate.target, min_os)
    return make_plan(facts, candidate.problem, candidate.solution, _tightest(variant), candidate.wish.objective)


def _tightest(variant: Variant) -> Limits:
    sizes = [member.limits.max_size for member in variant.members if member.limits.max_size is not None]
    losses = [member.limits.max_loss for member in variant.members if member.limits.max_loss is not None]
    return Limits(min(sizes, default=None), min(losses, default=None))


def _min_os(variant: Variant, first: Member) -> float | None:
    """The variant's own floor, or the least version among its devices with the first one's OS."""
    if variant.candidate.wish.min_os is not None:
        return variant.candidate.wish.min_os
    system = first.profile.os.name
    versions = [member.version for member in variant.members if member.profile.os.name == system]
    return min((version for version in versions if version is not None), default=None)


def _manifest(
    choice: Choice, built: list[_Built], most: int, request: Request, bench: Workbench, selector: dict[str, str]
) -> FleetManifest:
    got = {member.name: each.id for each in built for member in each.variant.members}
    return FleetManifest(
        model=built[0].bundle.manifest.model,
        loss=str(bench.loss),
        loss_per_mb=significant(choice.rate * MEGABYTE),
        max_variants=most,
        variants=tuple(_variant_entry(each) for each in built),
        devices=tuple(
            DeviceEntry(
                name=member.name, group=member.group, share=significant(member.share), max_size=member.limits.max_size,
                max_loss=member.limits.max_loss, variant=got[member.name],
            )
            for member in choice.members
        ),
        steps=tuple(
            StepEntry(
                variants=step.variants, loss=_short(step.loss), bytes=_short(step.bytes), total_bytes=step.total_bytes,
                price=_short(step.price),
            )
            for step in choice.steps
        ),
        selector=selector,
        command=request.command,
    )  # fmt: skip


def _variant_entry(built: _Built) -> VariantEntry:
    manifest, candidate = built.bundle.manifest, built.variant.candidate
    return VariantEntry(
        id=built.id, target=manifest.target, min_os=manifest.min_os, artifact=manifest.artifact.path,
        bytes=manifest.artifact.bytes, sha256=manifest.artifact.sha256, digest=manifest.digest,
        predicted_bytes=candidate.bytes, predicted_loss=significant(candidate.loss),
        measured_loss=significant(float(manifest.measured.loss.value or 0.0)), measured_by=manifest.measured.loss.origin,
        share=significant(built.variant.share), devices=tuple(member.name for member in built.variant.members),
    )  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else significant(value)
