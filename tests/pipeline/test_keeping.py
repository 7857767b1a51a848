"""Limits that the sums keep and the predictions do not: the refusal names ways that were found to work."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.errors import BudgetError
from sdk.pipeline.judging import Judge
from sdk.pipeline.keeping import solve_kept, solve_least
from sdk.pipeline.refusing import NotKept
from sdk.planning import Choices, Infeasible, Limits, Option, Problem, Row, solve

OPTIONS = {"int4": (100, 0.2, 100.0, 1.0), "int8": (200, 0.1, 200.0, 2.0), "fp32": (400, 0.0, 400.0, 4.0)}
PROBLEM = Problem(
    0, (Choices("fc", "linear", tuple(Option(name, size, loss) for name, (size, loss, _, _) in OPTIONS.items())),),
    (
        Row("max_memory", "loading", 0.0, {"fc": {name: each[2] for name, each in OPTIONS.items()}}),
        Row("max_latency", "all layers", 0.0, {"fc": {name: each[3] for name, each in OPTIONS.items()}}),
    ),
)  # fmt: skip


class Above:
    """Memory is half as much again as the sums say, latency as they say."""

    def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
        _, _, memory, latency = OPTIONS[schemes["fc"]]
        return {"max_memory": SimpleNamespace(value=1.5 * memory), "max_latency": SimpleNamespace(value=latency)}


def judge(costs: Any) -> Judge:
    return Judge(costs)


def solved(limits: Limits) -> Any:
    return solve_kept(PROBLEM, limits, judge(Above()), partial(solve, PROBLEM), "quality")


def test_a_narrower_plan_is_found() -> None:
    assert solved(Limits(max_memory=450)).chosen["fc"].scheme == "int8"


def test_the_limit_that_has_to_give_way_is_named_and_the_plan_is_there() -> None:
    with pytest.raises(NotKept, match=r"max_memory 120 B and max_latency 2 ms cannot be met together: raise max_m") as error:
        solved(Limits(max_memory=120, max_latency=2.0))
    assert "max_latency to" not in str(error.value)
    assert error.value.memory in (150.0, 300.0)
    assert solved(Limits(max_memory=int(error.value.memory), max_latency=2.0)).loss in (0.2, 0.1)


@pytest.mark.parametrize("limit", [40, 90, 110, 149])
def test_a_single_limit_that_no_plan_keeps_is_refused_with_what_a_plan_needs(limit: int) -> None:
    with pytest.raises(BudgetError, match=r"150 B \(150 bytes\) \(at a loss of 0\.2\)"):
        solved(Limits(max_memory=limit))
    assert solved(Limits(max_memory=150)).loss == 0.2


def test_the_least_is_of_predictions_not_of_sums() -> None:
    """By its sum one scheme needs least, by its prediction another."""
    problem = Problem(0, PROBLEM.choices, (Row("max_memory", "", 0.0, {"fc": {"int4": 1.0, "int8": 1.1, "fp32": 3.0}}),))

    class Other:
        def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
            return {"max_memory": SimpleNamespace(value={"int4": 2.5, "int8": 1.2, "fp32": 3.0}[schemes["fc"]])}

    def run(limits: Limits, objective: str, near: bool = False) -> Any:
        return solve(problem, limits, objective)

    assert run(Limits(), "least-memory").chosen["fc"].scheme == "int4"
    found = solve_least(problem, Limits(), "max_memory", judge(Other()), run)
    assert found.chosen["fc"].scheme == "int8"


@pytest.mark.parametrize("limits", [
    Limits(max_size=150, max_loss=0.1, max_memory=250),
    Limits(max_size=150, max_loss=0.15, max_memory=200, max_latency=1.5), Limits(max_loss=0.05, max_memory=250),
])  # fmt: skip
def test_each_way_out_of_several_limits_is_one(limits: Limits) -> None:
    """What one limit has to be is named with whatever else its plan is predicted to exceed, and that plan is then found."""
    with pytest.raises(Infeasible) as error:
        solved(limits)
    ways = [each for each in error.value.offer.limits if each.given is not None]
    assert ways
    for way in ways:
        wider = limits.having(way.name, way.given)
        for name, value in way.besides:
            wider = wider.having(name, value)
            assert f"and {name} to" in error.value.offer.sentence()
        assert solved(wider).loss <= (wider.max_loss or 1)


def test_the_least_memory_may_be_that_of_a_fast_plan() -> None:
    """The sums of memory do not see what the fast schemes save, and their loss is not the least."""
    options = {"int4": (2.6, 0.2), "int8": (2.5, 0.1), "fp16": (2.0, 0.3)}
    choices = (Choices("fc", "linear", tuple(Option(name, 100, loss) for name, (_, loss) in options.items())),)
    memory = Row("max_memory", "", 0.0, {"fc": {"int4": 1.0, "int8": 1.0, "fp16": 1.0}})
    latency = Row("max_latency", "", 0.0, {"fc": {"int4": 3.0, "int8": 2.0, "fp16": 1.0}})

    class Blind:
        def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
            return {"max_memory": SimpleNamespace(value=options[schemes["fc"]][0]), "max_latency": SimpleNamespace(value=1.0)}

    for rows, least in (((memory,), "int8"), ((memory, latency), "fp16")):
        problem = Problem(0, choices, rows)
        run = partial(solve, problem)
        found = solve_least(problem, Limits(), "max_memory", judge(Blind()), run)
        assert found.chosen["fc"].scheme == least


def test_where_all_limits_have_to_give_way_they_do_so_as_is_predicted() -> None:
    """By sums all times 2.67 are enough; memory and latency are predicted a fifth higher."""
    needs = {"int4": (100, 0.2, 400.0, 4.0), "int8": (200, 0.1, 100.0, 4.0), "fp32": (400, 0.0, 400.0, 1.0)}
    choices = (Choices("fc", "linear", tuple(Option(name, size, loss) for name, (size, loss, _, _) in needs.items())),)
    rows = (
        Row("max_memory", "", 0.0, {"fc": {name: each[2] for name, each in needs.items()}}),
        Row("max_latency", "", 0.0, {"fc": {name: each[3] for name, each in needs.items()}}),
    )
    problem = Problem(0, choices, rows)

    class Higher:
        def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
            _, _, memory, latency = needs[schemes["fc"]]
            return {"max_memory": SimpleNamespace(value=1.2 * memory), "max_latency": SimpleNamespace(value=1.2 * latency)}

    def solved(limits: Limits) -> Any:
        return solve_kept(problem, limits, judge(Higher()), partial(solve, problem), "quality")

    with pytest.raises(Infeasible, match=r"raise all by 220% \(max_size to 480 B") as error:
        solved(Limits(max_size=150, max_memory=150, max_latency=1.5))
    assert error.value.offer.together == 3.2
    assert solved(Limits(max_size=480, max_memory=480, max_latency=4.8)).chosen["fc"].scheme in ("int8", "fp32")


def test_a_limit_that_the_sums_exceed_and_a_prediction_keeps_is_kept() -> None:
    """The sums are too high by a constant: neither a plan that fits is refused, nor one taken that loses more than it need."""
    row = Row("max_memory", "", 60.0, {"fc": {name: each[2] for name, each in OPTIONS.items()}})
    problem = Problem(0, PROBLEM.choices, (row,))

    class Below:
        def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
            return {"max_memory": SimpleNamespace(value=OPTIONS[schemes["fc"]][2])}

    def solved(limits: Limits) -> Any:
        return solve_kept(problem, limits, judge(Below()), partial(solve, problem), "quality")

    for limit, scheme in ((100, "int4"), (150, "int4"), (200, "int8"), (390, "int8"), (400, "fp32"), (450, "fp32")):
        assert solved(Limits(max_memory=limit)).chosen["fc"].scheme == scheme, limit
    assert solved(Limits(max_memory=100, max_size=100)).chosen["fc"].scheme == "int4"
    with pytest.raises(NotKept, match=r"raise max_memory to 100 B"):
        solved(Limits(max_memory=99))
    with pytest.raises(Infeasible, match=r"max_memory 90 B cannot be met: no plan needs less than 100 B"):
        solved(Limits(max_memory=90, max_size=90))


def test_no_plan_is_predicted_twice() -> None:
    asked: list[str] = []

    class Counted(Above):
        def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
            asked.append(schemes["fc"])
            return super().predict(schemes)

    with pytest.raises(NotKept):
        solve_kept(PROBLEM, Limits(max_memory=120, max_latency=2.0), judge(Counted()), partial(solve, PROBLEM), "quality")
    assert len(asked) == len(set(asked)) > 1
