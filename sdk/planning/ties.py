"""Layers that hold one weight together: chosen as one, shown as each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdk.errors import BadInput
from sdk.planning.limits import Solution, solution_of
from sdk.planning.options import Choices, Option, Problem, Tie, by_size
from sdk.planning.rows import Row

BETWEEN = " + "
"""Stands between the schemes of two layers that are one choice."""


def joined(problem: Problem) -> Problem:
    """Return the problem in which the layers of each tie are one, called by the first's name.

    Its options are the pairs of their schemes, which say what both cost together.
    """
    if not problem.ties:
        return problem
    merged = {tie.first: _merged(problem, tie) for tie in problem.ties}
    dropped = {tie.later for tie in problem.ties}
    choices = tuple(merged.get(each.layer, each) for each in problem.choices if each.layer not in dropped)
    pairs = {name: [_parted(option.scheme) for option in each.options] for name, each in merged.items()}
    rows = tuple(replace(row, amounts=_summed(row, problem.ties, pairs), shared={}) for row in problem.rows)
    return Problem(problem.base, choices, rows, response=problem.response)


def separated(problem: Problem, solution: Solution) -> Solution:
    """Return a solution of the joined problem as one of `problem`."""
    if not problem.ties:
        return solution
    chosen = dict(solution.chosen)
    for tie in problem.ties:
        for name, scheme in zip((tie.first, tie.later), _parted(chosen[tie.first].scheme), strict=True):
            option = problem[name].option(scheme)
            assert option is not None  # only what both may take was offered
            chosen[name] = option
    return solution_of(problem, chosen, solution.price, solution.gap)


def check_ties(problem: Problem, schemes: Mapping[str, str], source: str) -> None:
    """BadInput where layers that can only be stored once have schemes in the plan called `source` that do not allow it."""
    for tie in problem.ties:
        pair = schemes[tie.first], schemes[tie.later]
        if not tie.apart and pair not in tie.saved:
            raise BadInput(
                f"{source}: layers: {tie.later!r}: {pair[1]}: it is stored once with {tie.first!r} "
                f"({pair[0]}): give both the same scheme"
            )


def _merged(problem: Problem, tie: Tie) -> Choices:
    first = problem[tie.first]
    options = [
        Option(f"{one.scheme}{BETWEEN}{two.scheme}", one.bytes + two.bytes - saved, one.loss + two.loss)
        for one in first.options for two in problem[tie.later].options
        if (saved := tie.saved.get((one.scheme, two.scheme), 0 if tie.apart else None)) is not None
    ]
    return replace(first, options=by_size(options))


def _parted(scheme: str) -> tuple[str, str]:
    first, _, later = scheme.partition(BETWEEN)
    return first, later


def _summed(
    row: Row, ties: Sequence[Tie], pairs: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[str, Mapping[str, float]]:
    """Amounts by layer and scheme, those of tied layers under the first's name and by the pair of their schemes."""
    made = dict(row.amounts)
    for tie in ties:
        first, later, saved = made.pop(tie.first, {}), made.pop(tie.later, {}), row.shared.get((tie.first, tie.later), {})
        made[tie.first] = {
            f"{a}{BETWEEN}{b}": first.get(a, 0.0) + later.get(b, 0.0) - saved.get((a, b), 0) for a, b in pairs[tie.first]
        }
    return made
