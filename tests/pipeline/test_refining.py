"""Plans are made anew by what their layers lose together, as often as the effort allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sdk
from sdk.pipeline.refining import SHIPPED, TRIALS, refine
from sdk.planning import Calibration, Choices, Facts, Infeasible, Limits, Option, Plan, Problem, make_plan, solve, summed

WIDTHS = {"int2": 2, "int3": 3, "int4": 4, "int5": 5, "int6": 6, "int8": 8, "fp32": 32}
PROBLEM = Problem(100, tuple(
    Choices(f"layer{i}", "linear", tuple(
        Option(name, 40 * bits * (i + 1), 0.5 * 4.0 ** (2 - bits) / (i + 1)) for name, bits in WIDTHS.items()
    )) for i in range(8)
))  # fmt: skip
FACTS = Facts("net", "0" * 64, "host", "null", None, "kl", Calibration(origin="data", samples=4))


def chooser(limit: float) -> Callable[[float], Plan]:
    def choose(share: float) -> Plan:
        solution = solve(PROBLEM, Limits(max_loss=share * limit), "smallest")
        return make_plan(FACTS, PROBLEM, solution, Limits(max_loss=limit), "smallest")

    return choose


def run(limit: float, lose: Callable[[Plan], float | None], trials: int) -> tuple[Any, int]:
    """What refining returns where layers together `lose` so much, and how many plans it measured."""
    measured = []

    def measure(plan: Plan) -> float | None:
        measured.append(plan)
        return lose(plan)

    return refine(trials, chooser(limit), measure), len(measured)


def test_layers_that_make_up_for_each_other_get_fewer_bytes() -> None:
    refined, count = run(0.02, lambda plan: 0.3 * summed(plan), 3)
    before, after = chooser(0.02)(1.0).predicted, refined.plan.predicted
    assert after.artifact_bytes < 0.95 * before.artifact_bytes
    assert 0.01 < after.loss <= 0.02 and after.interaction == 0.3
    assert count <= 3 and refined.share > 2


def test_layers_that_make_each_other_worse_get_more_until_the_limit_holds() -> None:
    refined, _ = run(0.02, lambda plan: 5.0 * summed(plan), 3)
    assert refined.plan.predicted.loss <= 0.02 and refined.plan.budgets.max_loss == 0.02
    assert refined.plan.predicted.artifact_bytes > chooser(0.02)(1.0).predicted.artifact_bytes


def test_quick_measures_nothing_and_changes_nothing() -> None:
    refined, count = run(0.02, lambda plan: 0.3 * summed(plan), TRIALS["quick"])
    assert count == 0 and refined.plan == chooser(0.02)(1.0) and refined.share == 1.0


def test_before_a_file_is_made_no_smaller_one_is_sought_but_the_limit_is_kept() -> None:
    measured = list[Plan]()

    def lose(ratio: float, slack: float = 1.0) -> Plan:
        def measure(plan: Plan) -> float:
            measured.append(plan)
            return ratio * summed(plan)

        measured.clear()
        return refine(SHIPPED, chooser(0.02), measure, smaller=False, slack=slack).plan

    first = chooser(0.02)(1.0)
    assert lose(0.3).schemes == first.schemes and len(measured) == 1
    kept = lose(5.0)
    assert kept.predicted.loss <= 0.02 and kept.schemes != first.schemes and 1 < len(measured) <= SHIPPED
    assert lose(1.4, slack=1.5).schemes == first.schemes and len(measured) == 1


def test_what_cannot_be_measured_stays() -> None:
    assert run(0.02, lambda plan: None, 3)[0].plan == chooser(0.02)(1.0)


def test_a_plan_for_quality_stays_and_says_what_it_was_measured_to_lose() -> None:
    plan = make_plan(FACTS, PROBLEM, solve(PROBLEM, Limits(max_size=9000), "quality"), Limits(max_size=9000), "quality")
    nothing: Any = lambda *_: pytest.fail("no other plan is asked for")  # noqa: E731
    found = refine(3, lambda share: plan if share == 1 else nothing(), lambda plan: 3.0 * summed(plan)).plan
    assert found.schemes == plan.schemes and found.predicted.interaction == 3.0
    assert found.predicted.loss == pytest.approx(3.0 * plan.predicted.loss, rel=1e-5)


def test_a_loss_is_kept_as_measured_whatever_is_made_least() -> None:
    def choose(share: float) -> Plan:
        solution = solve(PROBLEM, Limits(max_loss=share * 0.02), "smallest")
        return make_plan(FACTS, PROBLEM, solution, Limits(max_loss=0.02), "fastest")

    found = refine(3, choose, lambda plan: 5.0 * summed(plan)).plan
    assert found.predicted.loss <= 0.02 and found.predicted.interaction == 5.0
    assert refine(3, choose, lambda plan: 0.1 * summed(plan)).plan.schemes == choose(1.0).schemes


def test_nothing_below_is_no_error() -> None:
    choose = chooser(0.02)

    def only_once(share: float) -> Plan:
        return choose(share) if share == 1 else pytest.fail(str(solve(PROBLEM, Limits(max_size=1), "smallest")))

    assert refine(3, only_once, lambda plan: 100.0).plan.schemes == choose(1.0).schemes


@pytest.mark.parametrize(("ratio", "met"), [(0.2, True), (1.0, False)])
def test_limits_that_the_sum_alone_cannot_keep_are_kept_where_the_layers_together_do(ratio: float, met: bool) -> None:
    size = chooser(0.05)(1.0).predicted.artifact_bytes
    limits = Limits(max_size=size, max_loss=0.02)

    def choose(share: float) -> Plan:
        solution = solve(PROBLEM, Limits(max_size=size, max_loss=share * 0.02), "quality")
        return make_plan(FACTS, PROBLEM, solution, limits, "quality")

    if met:
        refined = refine(3, choose, lambda plan: ratio * summed(plan))
        assert refined.plan.predicted.loss <= 0.02 and refined.plan.predicted.artifact_bytes <= size
    else:
        with pytest.raises(Infeasible, match="cannot both be met"):
            refine(3, choose, lambda plan: ratio * summed(plan))


@given(st.floats(0.01, 50), st.floats(0.3, 3.0), st.sampled_from([3, 10]), st.floats(0.001, 0.5))
def test_what_is_kept_as_measured_is_never_given_up_nor_bigger(scale: float, bend: float, trials: int, limit: float) -> None:
    """However the layers add up: if the first plan keeps the limit so does the last, and it is no bigger."""

    def lose(plan: Plan) -> float:
        return float(scale * summed(plan) ** bend)

    first = chooser(limit)(1.0)
    refined, count = run(limit, lose, trials)
    assert count <= trials
    if lose(first) <= limit:
        assert lose(refined.plan) <= limit
        assert refined.plan.predicted.artifact_bytes <= first.predicted.artifact_bytes
    else:
        assert lose(refined.plan) <= lose(first)


@pytest.mark.usefixtures("quiet", "app")
def test_a_refined_plan_is_a_plan_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    words: dict[str, Any] = {"device": "host", "target": "null", "calibration": "model.py:samples"}
    plan = sdk.plan("model.py:net", max_loss=0.01, effort="standard", **words)
    assert plan.predicted.interaction is not None and plan.predicted.loss <= 0.01
    bundle = sdk.package("model.py:net", plan=plan, out="planned", **words)
    whole = sdk.package("model.py:net", max_loss=0.01, effort="standard", out="whole", **words)
    assert bundle.plan == whole.plan
    assert bundle.manifest.artifact.sha256 == whole.manifest.artifact.sha256
    again = sdk.package("model.py:net", plan=plan, out="again", **{k: v for k, v in words.items() if k != "target"})
    assert again.manifest.artifact.sha256 == whole.manifest.artifact.sha256
    quick = sdk.plan("model.py:net", max_loss=0.01, **words)
    assert quick.predicted.interaction is None
    with pytest.raises(sdk.errors.BadInput, match="effort: 'fast': is one of quick, standard, thorough"):
        sdk.plan("model.py:net", effort="fast", **words)


@pytest.mark.usefixtures("quiet", "app")
def test_a_plan_is_measured_unless_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_CACHE", str(tmp_path / "cache"))
    words: dict[str, Any] = {"device": "host", "target": "null", "calibration": "model.py:samples", "effort": "thorough"}
    assert sdk.plan("model.py:net", max_loss=0.01, **words).predicted.interaction is not None
    assert sdk.plan("model.py:net", max_size="8KB", **words).predicted.interaction is not None
    assert sdk.plan("model.py:net", uniform="q8", max_loss=10.0, **words).predicted.interaction is None
