"""The variants that a fleet chooses from: for every set of devices that could share one, their best common plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sdk.devices import family
from sdk.lowering import Target
from sdk.models import Layer
from sdk.pipeline import Workbench
from sdk.pipeline.choosing import solve_within
from sdk.pipeline.planning import problem_within
from sdk.planning import Infeasible, Limits, Problem, Restriction, Solution
from sdk.progress import Reporter
from sdk.release.fleet.members import Member
from sdk.schemes import Scheme, scheme_named

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Wish:
    """What some devices have in common: a target, an OS floor, scheme families, the tightest limits, an objective.

    `min_os` is None where the target tells no OS versions apart.
    """

    target: str
    min_os: float | None
    families: frozenset[str]
    max_size: int | None
    max_loss: float | None
    objective: str

    def meet(self, other: Wish) -> Wish:
        """What the devices of both have in common; both have the same target."""
        return Wish(
            self.target,
            _least(self.min_os, other.min_os),
            self.families & other.families,
            _least(self.max_size, other.max_size),
            _least(self.max_loss, other.max_loss),
            min(self.objective, other.objective),  # quality, where any of them asks for it
        )

    @property
    def limits(self) -> Limits:
        """The tightest limits."""
        return Limits(self.max_size, self.max_loss)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant that could be built: its target, OS floor and plan, and the limits that the plan was made for.

    `families`: those that the plan needs (the target's own float needs none); `spare`: bytes by which files of this
    target were found to exceed their prediction.
    """

    target: Target
    wish: Wish
    problem: Problem = field(repr=False)
    solution: Solution = field(repr=False)
    families: frozenset[str]
    spare: int = 0

    @property
    def bytes(self) -> int:
        """Predicted bytes of the finished file."""
        return self.solution.bytes + self.spare

    @property
    def loss(self) -> float:
        """Predicted loss."""
        return self.solution.loss

    def runs(self, member: Member) -> bool:
        """Whether the device's runtime, OS and profile allow it, whatever its size and loss."""
        target = member.targets.get(self.target.name)
        if target is None or not self.families <= member.families(self.target.name):
            return False
        floor = member.floor(target)
        return self.wish.min_os is None or (floor is not None and floor >= self.wish.min_os)

    def keeps(self, limits: Limits) -> bool:
        """Whether it is within `limits`."""
        small = limits.max_size is None or self.bytes <= limits.max_size
        return small and (limits.max_loss is None or self.loss <= limits.max_loss)

    def serves(self, member: Member) -> bool:
        """Whether the device can have it."""
        return self.runs(member) and self.keeps(member.limits)


def wishes_of(member: Member) -> list[Wish]:
    """What the device alone wishes, per target."""
    limits = member.limits
    return [
        Wish(name, member.floor(target), member.families(name), limits.max_size, limits.max_loss, member.objective)
        for name, target in sorted(member.targets.items())
    ]


def common(wishes: Collection[Wish]) -> list[Wish]:
    """Return all that any of the wishes have in common: closed under `meet`, each once, in a fixed order."""
    found = set(wishes)
    fresh = list(found)
    while fresh:
        met = {one.meet(other) for one in fresh for other in found if one.target == other.target}
        fresh = list(met - found)
        found |= met
    return sorted(found, key=_order)


Problems = Callable[[Target, float | None], Problem]
"""(target, OS floor) → all that some device of the fleet runs there, without regard to limits."""


def problems_of(members: Sequence[Member], bench: Workbench, report: Reporter) -> Problems:
    """Return the problems of a model, each scored and priced once for all devices that run the target."""

    known: dict[tuple[str, float | None], Problem] = {}

    def problem(target: Target, min_os: float | None) -> Problem:
        key = (target.name, min_os)
        if key not in known:
            every = frozenset[str]().union(*(each.families(target.name) for each in members if target.name in each.targets))
            known[key] = problem_within(bench, target, _within(every, target), min_os, report)
        return known[key]

    return problem


class Catalogue:
    """What a fleet can choose from, for one model."""

    def __init__(self, members: Sequence[Member], problems: Problems, report: Reporter) -> None:
        self._targets = {name: target for member in members for name, target in member.targets.items()}
        self._wishes = common([wish for member in members for wish in wishes_of(member)])
        self._problems, self._report = problems, report
        self._made: dict[tuple[tuple[str, int], ...], tuple[list[Candidate], dict[Wish, Infeasible]]] = {}

    def candidates(self, spare: Mapping[str, int]) -> tuple[list[Candidate], dict[Wish, Infeasible]]:
        """Return the best plan of every wish, equal plans once, by target and bytes, and why other wishes have none.

        `spare`: bytes to keep free, by target.
        """
        key = tuple(sorted(spare.items()))
        if key not in self._made:
            self._made[key] = self._plan(spare)
        return self._made[key]

    def _plan(self, spare: Mapping[str, int]) -> tuple[list[Candidate], dict[Wish, Infeasible]]:
        found: dict[object, Candidate] = {}
        refused: dict[Wish, Infeasible] = {}
        with self._report.stage("plan variants", len(self._wishes)) as stage:
            for wish in self._wishes:
                try:
                    made = self._candidate(wish, spare.get(wish.target, 0))
                    found.setdefault(_identity(made), made)
                except Infeasible as error:
                    refused[wish] = error
                stage.step(wish.target)
        return sorted(found.values(), key=_numbered), refused

    def _candidate(self, wish: Wish, spare: int) -> Candidate:
        target = self._targets[wish.target]
        problem = _only(self._problems(target, wish.min_os), wish.families, target)
        solution = solve_within(problem, wish.limits, wish.objective, spare)
        used = {family_of(option.scheme, target) for option in solution.chosen.values()} - {""}
        return Candidate(target, wish, problem, solution, frozenset(used), spare)


def family_of(scheme: str, target: Target) -> str:
    """The family that a device must run for this scheme; empty for the target's own float, which runs everywhere."""
    if scheme in (target.fallback, target.lossless):
        return ""
    found = scheme_named(scheme)
    return family(found.format, found.bits, found.activations)


def _identity(candidate: Candidate) -> object:
    schemes = tuple(option.scheme for option in candidate.solution.chosen.values())
    return candidate.target.name, candidate.wish.min_os, schemes


def _numbered(candidate: Candidate) -> tuple[object, ...]:
    schemes = tuple(option.scheme for option in candidate.solution.chosen.values())
    return candidate.target.name, candidate.bytes, candidate.loss, candidate.wish.min_os or 0.0, schemes


def _within(families: frozenset[str], target: Target) -> Restriction:
    def restrict(layer: Layer, scheme: Scheme) -> str | None:
        needed = family_of(scheme.name, target)
        return None if not needed or needed in families else f"no device of the fleet runs {needed} with {target.name}"

    return restrict


def _only(problem: Problem, families: frozenset[str], target: Target) -> Problem:
    """The problem with the options that all families allow; the target's own float always stays."""
    allowed = families | {""}
    return Problem(
        problem.base,
        tuple(
            replace(each, options=tuple(option for option in each.options if family_of(option.scheme, target) in allowed))
            for each in problem.choices
        ),
        response=problem.response,
    )


def _least(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else min(one, other)


def _order(wish: Wish) -> tuple[object, ...]:
    infinite = float("inf")
    return (
        wish.target,
        infinite if wish.min_os is None else wish.min_os,
        sorted(wish.families),
        infinite if wish.max_size is None else wish.max_size,
        infinite if wish.max_loss is None else wish.max_loss,
        wish.objective,
    )
