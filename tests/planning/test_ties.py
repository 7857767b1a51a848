"""Layers that hold one weight take one scheme, and its bytes count once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.planning import Choices, Limits, Option, Problem, Tie, front, solve
from sdk.planning.rows import Row
from sdk.planning.ties import check_ties

SCHEMES = ("a", "b", "c")


def layer(name: str, sizes: list[int], losses: list[float]) -> Choices:
    options = [Option(s, size, loss) for s, size, loss in zip(SCHEMES, sorted(sizes), sorted(losses, reverse=True), strict=True)]
    return Choices(name, "linear", tuple(sorted(options, key=lambda o: (o.bytes, o.loss, o.scheme))))


numbers = st.lists(st.integers(1, 1000), min_size=3, max_size=3)
losses = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3)


def pairs(saved: int) -> dict[tuple[str, str], int]:
    return {(scheme, scheme): saved for scheme in SCHEMES}


@given(numbers, numbers, losses, losses, losses, st.integers(3, 4000))
def test_tied_layers_take_the_best_scheme_for_both(
    own: list[int], other: list[int], x: list[float], y: list[float], z: list[float], room: int
) -> None:
    choices = (layer("embed", own, x), layer("fc", other, y), layer("head", [0, 0, 0], z))
    problem = Problem(0, choices, ties=(Tie("embed", "head", pairs(0), apart=False),))
    plans = [
        (e.loss + f.loss + h.loss, e.bytes + f.bytes)
        for e in choices[0].options for h in choices[2].options if e.scheme == h.scheme for f in choices[1].options
    ]
    within = [loss for loss, size in plans if size <= room]
    if not within:
        return
    found = solve(problem, Limits(max_size=room))
    assert found.chosen["embed"].scheme == found.chosen["head"].scheme and list(found.chosen) == ["embed", "fc", "head"]
    assert found.loss == pytest.approx(min(within)) and found.bytes <= room
    assert front(problem)[-1].loss == pytest.approx(min(loss for loss, _ in plans))


@given(numbers, numbers, numbers, losses, losses, losses, st.integers(3, 4000))
def test_what_may_be_stored_apart_is_stored_once_where_that_is_better(
    own: list[int], other: list[int], heads: list[int], x: list[float], y: list[float], z: list[float], room: int
) -> None:
    choices = (layer("embed", own, x), layer("fc", other, y), layer("head", heads, z))
    saved = {("b", "b"): min(heads), ("a", "c"): min(heads) // 2}
    problem = Problem(0, choices, ties=(Tie("embed", "head", saved, apart=True),))
    plans = [
        (e.loss + f.loss + h.loss, e.bytes + f.bytes + h.bytes - saved.get((e.scheme, h.scheme), 0))
        for e in choices[0].options for h in choices[2].options for f in choices[1].options
    ]
    within = [loss for loss, size in plans if size <= room]
    if not within:
        return
    found = solve(problem, Limits(max_size=room))
    assert found.loss == pytest.approx(min(within)) and found.bytes <= room
    assert found.bytes == sum(option.bytes for option in found.chosen.values())


def test_what_is_stored_once_is_in_memory_once() -> None:
    choices = (layer("embed", [10, 20, 30], [3, 2, 1]), layer("head", [10, 20, 30], [3, 2, 1]))
    amounts = {name: {"a": 10.0, "b": 20.0, "c": 30.0} for name in ("embed", "head")}
    row = Row("max_memory", "loading", 5.0, amounts, {("embed", "head"): {("b", "b"): 15}})
    problem = Problem(0, choices, (row,), (Tie("embed", "head", {("b", "b"): 15}, apart=True),))
    assert [row.total({"embed": one, "head": two}) for one, two in ("aa", "bb", "bc")] == [25, 30, 55]
    found = solve(problem, Limits(max_memory=30))
    assert {name: option.scheme for name, option in found.chosen.items()} == {"embed": "b", "head": "b"}


def test_a_plan_that_parts_them_is_refused() -> None:
    choices = (layer("embed", [1, 2, 3], [3, 2, 1]), layer("head", [1, 2, 3], [3, 2, 1]))
    tie = Tie("embed", "head", pairs(0), apart=False)
    with pytest.raises(BadInput, match="'head': b: it is stored once with 'embed'"):
        check_ties(Problem(0, choices, ties=(tie,)), {"embed": "a", "head": "b"}, "plan.yaml")
    check_ties(Problem(0, choices, ties=(replace(tie, apart=True),)), {"embed": "a", "head": "b"}, "plan.yaml")


def test_the_bytes_of_a_choice_are_those_beside_the_other_layers_scheme() -> None:
    choices = (layer("embed", [10, 20, 30], [3, 2, 1]), layer("head", [10, 20, 30], [3, 2, 1]))
    problem = Problem(0, choices, ties=(Tie("embed", "head", {("b", "c"): 15}, apart=True),))
    beside = problem.beside("head", {"embed": "b", "head": "a"})
    assert {option.scheme: option.bytes for option in beside.options} == {"a": 10, "b": 20, "c": 15}
    assert problem.beside("embed", {"embed": "a", "head": "c"}).option("b") == Option("b", 5, 2)
