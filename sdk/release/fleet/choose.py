"""Chooses the variants of a fleet: candidates, what each costs every device, the cheapest cover, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sdk.errors import BudgetError
from sdk.pipeline import Workbench
from sdk.pipeline.choosing import DEFAULT_LOSS
from sdk.planning import Infeasible
from sdk.progress import Reporter
from sdk.release.fleet.candidates import Candidate, Catalogue, Problems, Wish, problems_of, wishes_of
from sdk.release.fleet.cover import Cover, covers
from sdk.release.fleet.file import FleetFile
from sdk.release.fleet.members import Member

MEGABYTE = 1_000_000

SHOWN = 4
"""Steps that are computed at least, so that a person sees what more variants would buy."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One chosen candidate and the devices that get it, by name."""

    candidate: Candidate
    members: tuple[Member, ...]

    @property
    def share(self) -> float:
        """Share of all installs that get it."""
        return math.fsum(member.share for member in self.members)


@dataclass(frozen=True, slots=True)
class Step:
    """What at most `variants` bundles cost: share-weighted predicted loss and download bytes, and their price.

    All None where so few cannot serve every device. `total_bytes`: of all variants together.
    """

    variants: int
    loss: float | None = None
    bytes: float | None = None
    total_bytes: int | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The variants, by target and bytes; `steps` for 1, 2, … variants; `rate`: the loss that a byte is worth."""

    variants: tuple[Variant, ...]
    steps: tuple[Step, ...]
    rate: float
    members: tuple[Member, ...] = field(repr=False)


class Chooser:
    """Chooses for one fleet and model, again and again as files turn out bigger than predicted."""

    def __init__(self, members: Sequence[Member], problems: Problems, rate: float, report: Reporter) -> None:
        """`rate`: the loss that a byte of download is worth."""
        self.members = tuple(members)
        self.rate = rate
        self._classes = look_alikes(self.members)
        self._catalogue = Catalogue(self.members, problems, report)

    def choose(self, most: int, spare: Mapping[str, int] | None = None) -> Choice:
        """Return the cheapest at most `most` variants; `spare`: bytes by which each target's files exceed prediction.

        BudgetError names a device that nothing fits, with its counter-offer, or says how many variants are needed.
        """
        candidates, refused = self._catalogue.candidates(spare or {})
        table = [self._row(row, candidates) for row in self._classes]
        for row, prices in zip(self._classes, table, strict=True):
            if not prices:
                raise self._nothing_fits(row, refused)
        found = []
        for number, cover in covers(table):
            found.append((number, cover))
            if number >= max(most, SHOWN) and cover is not None:
                break
        steps = tuple(self._step(number, cover, candidates) for number, cover in found)
        chosen = [cover for number, cover in found if cover is not None and number <= most]
        if not chosen:
            needed = next(number for number, cover in found if cover is not None)
            raise BudgetError(
                f"max_variants {most} cannot serve all {len(self.members)} devices: {needed} can; "
                f"raise max_variants to {needed}, widen the tightest budget or take devices out"
            )
        return Choice(self._variants(chosen[-1], candidates), steps, self.rate, self.members)

    def alone(self) -> tuple[tuple[Member, Candidate], ...]:
        """Return each device's cheapest variant, were every device to get its own. BudgetError as `choose`."""
        candidates, refused = self._catalogue.candidates({})
        found = []
        for member in self.members:
            prices = self._row((member,), candidates)
            if not prices:
                raise self._nothing_fits((member,), refused)
            found.append((member, candidates[min(prices, key=lambda number: prices[number])]))
        return tuple(found)

    def _row(self, row: Sequence[Member], candidates: Sequence[Candidate]) -> dict[int, float]:
        share = math.fsum(member.share for member in row)
        return {
            number: share * (each.loss + self.rate * each.bytes)
            for number, each in enumerate(candidates)
            if all(each.serves(member) for member in row)
        }

    def _variants(self, cover: Cover, candidates: Sequence[Candidate]) -> tuple[Variant, ...]:
        served: dict[int, list[Member]] = {number: [] for number in cover.chosen}
        for row, pick in zip(self._classes, cover.picks, strict=True):
            served[pick] += row
        return tuple(
            Variant(candidates[number], tuple(sorted(members, key=lambda each: each.name)))
            for number, members in served.items()
        )

    def _step(self, number: int, cover: Cover | None, candidates: Sequence[Candidate]) -> Step:
        if cover is None:
            return Step(number)
        got = [(member.share, candidates[pick]) for row, pick in zip(self._classes, cover.picks, strict=True) for member in row]
        return Step(
            number,
            loss=math.fsum(share * each.loss for share, each in got),
            bytes=math.fsum(share * each.bytes for share, each in got),
            total_bytes=sum(candidates[pick].bytes for pick in cover.chosen),
            price=cover.price,
        )

    def _nothing_fits(self, row: Sequence[Member], refused: Mapping[Wish, Infeasible]) -> BudgetError:
        """Name the device, or those that look alike, with the counter-offer of the target that comes nearest."""
        shared = [target for target in row[0].targets if all(target in member.targets for member in row)]
        names = " and ".join(member.name for member in row)
        who = f"device {names}" if len(row) == 1 else f"devices {names} look alike to an app (OS, SoC, RAM) and"
        offers = [(wish.target, refused[wish]) for wish in _meets(row, shared) if wish in refused]
        if not offers:
            return BudgetError(f"fleet: {who}: no variant runs there: give another --target or take it out of the fleet")
        target, nearest = min(offers, key=lambda each: (each[1].offer.missing_bytes, each[1].offer.best_loss, each[0]))
        error = Infeasible(nearest.offer)
        error.args = (f"fleet: {who}: nothing fits; with {target}, {nearest}",)
        return error


def chooser_of(fleet: FleetFile, members: Sequence[Member], bench: Workbench, report: Reporter) -> Chooser:
    """Return the chooser of a fleet for the model on the workbench."""
    rate = default_rate(bench) if fleet.loss_per_mb is None else fleet.loss_per_mb / MEGABYTE
    return Chooser(members, problems_of(members, bench, report), rate, report)


def default_rate(bench: Workbench) -> float:
    """The loss that a byte of download is worth: the default loss budget, spread over the float32 weights."""
    return DEFAULT_LOSS / max(4 * sum(layer.parameters for layer in bench.model.inventory.layers), 1)


def look_alikes(members: Sequence[Member]) -> list[tuple[Member, ...]]:
    """Group the devices that an app cannot tell apart: they have to share a variant."""

    def key(member: Member) -> tuple[str, str, int]:
        system, soc, ram = member.looks
        return system, soc, ram or 0

    return [tuple(same) for _, same in groupby(sorted(members, key=lambda each: (*key(each), each.name)), key)]


def _meets(row: Sequence[Member], targets: Sequence[str]) -> list[Wish]:
    wishes = []
    for target in targets:
        own = [next(wish for wish in wishes_of(member) if wish.target == target) for member in row]
        met = own[0]
        for wish in own[1:]:
            met = met.meet(wish)
        wishes.append(met)
    return wishes
