"""Layers that cost less beside each other: plans weigh less than their layers apart, and no limit is exceeded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdk.planning import Choices, Join, Limits, Option, Problem, explain, make_plan, solution_of, solve
from sdk.planning.plan import Calibration, Facts

STATIC = frozenset({"static"})
NAMES = ("a", "b", "c")


def problem(saved: int) -> Problem:
    options = (Option("float", 60, 0.3), Option("static", 100, 0.1), Option("fp32", 400, 0.0))
    joins = (Join("a", "b", saved, STATIC), Join("b", "c", saved, STATIC))
    return Problem(10, tuple(Choices(name, "linear", options) for name in NAMES), joins=joins)


def chosen(*schemes: str) -> dict[str, Option]:
    made = problem(20)
    return {name: option for name, scheme in zip(NAMES, schemes, strict=True) if (option := made[name].option(scheme))}


def test_neighbours_save_once_each_and_apart_nothing() -> None:
    made = problem(20)
    assert solution_of(made, chosen("static", "static", "static")).bytes == 10 + 3 * 100 - 40
    assert solution_of(made, chosen("static", "float", "static")).bytes == 10 + 260
    whole = solution_of(made, chosen("static", "static", "static"))
    moved = solution_of(made, {**whole.chosen, "a": chosen("float", "float", "float")["a"]})
    assert moved.bytes == 10 + 60 + 200 - 20, "what a neighbour saved is taken back"


@given(st.integers(200, 1300), st.integers(0, 50))
def test_no_limit_is_exceeded_and_the_smallest_loses_least(room: int, saved: int) -> None:
    made = problem(saved)
    assert solve(made, Limits(max_size=room)).bytes <= room
    limits = Limits(max_loss=0.3001)
    assert solve(made, limits, "smallest").loss <= solve(problem(0), limits, "smallest").loss + 1e-12


def test_a_plan_weighs_what_it_does_and_its_layers_are_explained_beside_each_other() -> None:
    made, limits = problem(20), Limits(max_loss=0.31)
    plan = make_plan(FACTS, made, solve(made, limits, "smallest"), limits, "smallest")
    assert plan.schemes == dict.fromkeys(NAMES, "static")
    assert plan.predicted.artifact_bytes == plan.predicted.base_bytes + sum(line.bytes for line in plan.layers) == 270
    assert [line.bytes for line in plan.layers] == [100, 80, 80]
    found = {verdict.scheme: verdict for verdict in explain(made, plan, "b").verdicts}
    assert found["static"].bytes == 60 and found["static"].status == "chosen"
    assert all(line.reason for line in plan.layers)


FACTS = Facts("net", "0", "host", "null", None, "kl", Calibration(origin="synthetic (data-free)"))
