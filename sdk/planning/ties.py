"""Layers that hold one weight together: chosen as one, shown as each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdk.errors import BadInput
from sdk.planning.limits import Solution, solution_of
from sdk.planning.options import Choices, Option, Problem


def joined(problem: Problem) -> Problem:
    """Return the problem in which the layers of each tie are one, called by the first's name; its options are their sums."""
    if not problem.ties:
        return problem
    merged = {names[0]: _merged([problem[name] for name in names]) for names in problem.ties}
    dropped = {name for names in problem.ties for name in names[1:]}
    choices = tuple(merged.get(each.layer, each) for each in problem.choices if each.layer not in dropped)
    rows = tuple(replace(row, amounts=_summed(row.amounts, problem.ties)) for row in problem.rows)
    return Problem(problem.base, choices, rows)


def separated(problem: Problem, solution: Solution) -> Solution:
    """Return a solution of the joined problem as one of `problem`."""
    if not problem.ties:
        return solution
    chosen = dict(solution.chosen)
    for names in problem.ties:
        scheme = chosen[names[0]].scheme
        for name in names:
            option = problem[name].option(scheme)
            assert option is not None  # only schemes that all of them may take were offered
            chosen[name] = option
    return solution_of(problem, chosen, solution.price, solution.gap)


def check_ties(problem: Problem, schemes: Mapping[str, str], source: str) -> None:
    """BadInput where layers that hold one weight have different schemes in the plan called `source`."""
    for names in problem.ties:
        for name in names[1:]:
            if schemes[name] != schemes[names[0]]:
                raise BadInput(
                    f"{source}: layers: {name!r}: {schemes[name]}: it is stored once with {names[0]!r} "
                    f"({schemes[names[0]]}): give both the same scheme"
                )


def _merged(parts: Sequence[Choices]) -> Choices:
    options = []
    for option in parts[0].options:
        same = [part.option(option.scheme) for part in parts]
        found = [each for each in same if each is not None]
        if len(found) == len(parts):
            options.append(Option(option.scheme, sum(each.bytes for each in found), sum(each.loss for each in found)))
    ordered = tuple(sorted(options, key=lambda each: (each.bytes, each.loss, each.scheme)))
    return replace(parts[0], options=ordered)


def _summed(amounts: Mapping[str, Mapping[str, float]], ties: Sequence[tuple[str, ...]]) -> dict[str, Mapping[str, float]]:
    """Amounts by layer and scheme, those of tied layers under the first's name."""
    made = dict(amounts)
    for names in ties:
        parts = [made.pop(name, {}) for name in names]
        made[names[0]] = {scheme: sum(part.get(scheme, 0.0) for part in parts) for scheme in {s for part in parts for s in part}}
    return made
