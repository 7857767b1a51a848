"""Plans under several budgets: exact, within every limit, and refused with what would have to give."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.planning import Choices, Infeasible, Limits, Option, Problem, Row, need, solve
from sdk.planning.knapsack import pack
from sdk.planning.least import pack_least
from sdk.planning.several import Weighed, pack_several

SCHEMES = ("int4_g32", "int8_channel", "fp16", "fp32")


@st.composite
def problems(draw: Any) -> Problem:
    """Up to five layers of up to four options, two rows of memory and one of latency."""
    layers = draw(st.integers(1, 5))
    number, loss = st.integers(0, 500), st.floats(0, 1, allow_nan=False)
    choices, amounts = [], [{}, {}, {}]
    for i in range(layers):
        name, count = f"layer{i}", draw(st.integers(1, 4))
        options = [Option(SCHEMES[k], draw(number), draw(loss)) for k in range(count)]
        choices.append(Choices(name, "linear", tuple(sorted(options, key=lambda o: (o.bytes, o.loss, o.scheme)))))
        for each in amounts:
            each[name] = {SCHEMES[k]: float(draw(number)) for k in range(count)}
    budgets = ("max_memory", "max_memory", "max_latency")
    rows = tuple(Row(budget, "", float(draw(number)), each) for budget, each in zip(budgets, amounts, strict=True))
    return Problem(draw(number), tuple(choices), rows)


def every(problem: Problem) -> list[tuple[float, float, float, float]]:
    """(size, loss, memory, latency) of every plan there is."""
    found = []
    for picked in itertools.product(*(c.options for c in problem.choices)):
        schemes = {c.layer: o.scheme for c, o in zip(problem.choices, picked, strict=True)}
        memory, latency = (need(problem.rows, budget, schemes) for budget in ("max_memory", "max_latency"))
        found.append((problem.base + sum(o.bytes for o in picked), sum(o.loss for o in picked), memory or 0.0, latency or 0.0))
    return found


@settings(max_examples=30, deadline=None)
@given(problems(), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_best_of_all_plans_within_all_limits_is_found(problem: Problem, a: float, b: float, c: float) -> None:
    plans = every(problem)
    size, memory, latency = (
        max(1, round(min(p[i] for p in plans) + share * (max(p[i] for p in plans) - min(p[i] for p in plans))))
        for i, share in ((0, a), (2, b), (3, c))
    )
    limits = Limits(max_size=size, max_memory=memory, max_latency=float(latency))
    allowed = [p for p in plans if p[0] <= size and p[2] <= memory and p[3] <= latency]
    if not allowed:
        with pytest.raises(Infeasible) as caught:
            solve(problem, limits)
        assert any(each.alone is not None for each in caught.value.offer.limits)
        return
    found = solve(problem, limits)
    schemes = {name: option.scheme for name, option in found.chosen.items()}
    assert found.bytes <= size
    assert (need(problem.rows, "max_memory", schemes) or 0) <= memory
    assert (need(problem.rows, "max_latency", schemes) or 0) <= latency
    assert found.loss == pytest.approx(min(p[1] for p in allowed), abs=1e-9)
    assert solve(problem, limits, "smallest").bytes == min(p[0] for p in allowed)


@settings(max_examples=15, deadline=None)
@given(problems(), st.floats(0, 0.9))
def test_a_counter_offer_can_be_met(problem: Problem, share: float) -> None:
    plans = every(problem)
    limits = Limits(max_size=max(1, min(p[0] for p in plans)), max_memory=max(1, round(share * min(p[2] for p in plans))))
    try:
        solve(problem, limits)
    except Infeasible as refusal:
        by_name = {each.name: each for each in refusal.offer.limits}
        given_ = by_name["max_memory"].given
        assert given_ is not None
        assert solve(problem, Limits(max_size=limits.max_size, max_memory=int(given_) + 1)).bytes <= (limits.max_size or 0)


def test_a_refusal_names_the_limit_that_binds() -> None:
    options = (Option("int8_channel", 100, 0.1), Option("fp32", 400, 0.0))
    row = Row("max_memory", "loading", 5_000_000.0, {"fc": {"int8_channel": 1_000_000.0, "fp32": 4_000_000.0}})
    problem = Problem(0, (Choices("fc", "linear", options),), (row,))
    with pytest.raises(Infeasible, match=r"max_memory 2\.00 MB cannot be met: no plan needs less than 6\.00 MB"):
        solve(problem, Limits(max_memory=2_000_000))
    with pytest.raises(Infeasible, match=r"max_memory 7\.00 MB and max_loss 0\.01 cannot be met together: raise max_memory"):
        solve(problem, Limits(max_memory=7_000_000, max_loss=0.01))
    assert solve(problem, Limits(max_memory=7_000_000)).loss == 0.1


@settings(max_examples=15, deadline=None)
@given(problems(), st.floats(0, 1))
def test_least_memory_is_within_half_a_percent_of_the_least(problem: Problem, share: float) -> None:
    """Size, loss and memory of every plan; within a limit on the loss."""
    plans = every(problem)
    low, high = min(p[1] for p in plans), max(p[1] for p in plans)
    limit = low + share * (high - low) + 1e-9  # a sum of floats may be one digit above another of the same
    found = solve(problem, Limits(max_loss=limit), "least-memory")
    least = min(p[2] for p in plans if p[1] <= limit)
    memory = need(problem.rows, "max_memory", {name: option.scheme for name, option in found.chosen.items()}) or 0.0
    assert least <= memory <= 1.0051 * least + 1 and found.loss <= limit
    if least >= 1:
        asked = Limits(max_loss=limit, max_memory=math.ceil(least))  # nothing needs less
        assert (need(problem.rows, "max_memory", solve(problem, asked, "least-memory").schemes) or 0.0) <= math.ceil(least)
    with pytest.raises(BadInput, match="max_latency: nothing predicts it"):
        solve(Problem(problem.base, problem.choices), Limits(max_loss=limit), "fastest")


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_of_just_what_it_needs_is_found_again_however_sums_of_floats_are_rounded(seed: int) -> None:
    numbers = random.Random(seed)
    names = [f"layer{i}" for i in range(12)]
    options = tuple(Option(SCHEMES[k], 100 * (k + 1), 0.1 * (3 - k)) for k in range(4))
    amounts = {name: {scheme: numbers.uniform(1e-3, 2e-2) for scheme in SCHEMES} for name in names}
    row = Row("max_latency", "all layers", 0.1, amounts)
    problem = Problem(1000, tuple(Choices(name, "linear", options) for name in names), (row,))
    found = solve(problem, Limits(max_size=3800, max_loss=4.0), "fastest")
    needed = row.total({name: option.scheme for name, option in found.chosen.items()})
    assert solve(problem, Limits(max_size=3800, max_loss=4.0, max_latency=needed)).loss == found.loss


def test_where_no_single_limit_can_give_way_all_of_them_are_named() -> None:
    options = (Option("int4", 100, 0.2), Option("int8", 200, 0.1), Option("fp32", 400, 0.0))
    rows = (
        Row("max_memory", "loading", 0.0, {"fc": {"int4": 400.0, "int8": 100.0, "fp32": 400.0}}),
        Row("max_latency", "all layers", 0.0, {"fc": {"int4": 4.0, "int8": 4.0, "fp32": 1.0}}),
    )
    problem = Problem(0, (Choices("fc", "linear", options),), rows)
    limits = Limits(max_size=150, max_memory=150, max_latency=1.5)
    with pytest.raises(Infeasible, match=r"raise all by 167% \(max_size to 400 B \(401 bytes\)") as error:
        solve(problem, limits)
    assert error.value.offer.together == 2.67
    for times, met in ((2.67, True), (2.66, False)):
        wider = Limits(max_size=math.ceil(150 * times), max_memory=math.ceil(150 * times), max_latency=1.5 * times)
        if met:
            solve(problem, wider)
        else:
            with pytest.raises(Infeasible):
                solve(problem, wider)


def test_a_budget_that_nothing_predicts_is_refused() -> None:
    problem = Problem(0, (Choices("fc", "linear", (Option("fp32", 8, 0.0),)),))
    with pytest.raises(BadInput, match="max_latency: nothing predicts it"):
        solve(problem, Limits(max_latency=1.0))


@pytest.mark.parametrize("seed", range(4))
def test_both_knapsacks_agree_where_losses_differ_by_magnitudes(seed: int) -> None:
    numbers = random.Random(seed)
    groups = []
    for _ in range(120):
        size, weight = numbers.randrange(10_000, 4_000_000), numbers.lognormvariate(0, 2)
        bits = sorted(numbers.uniform(1, 16) for _ in range(8))
        groups.append([(weight * 4.0**-b, float(int(size * b / 8))) for b in bits])
    budget = sum(0.7 * group[0][1] + 0.3 * group[-1][1] for group in groups)
    several = pack_several([[Weighed(value, (size,)) for value, size in group] for group in groups], [budget])
    one = pack(groups, budget)
    assert several is not None and one is not None and several.gap == one.gap == 0
    losses = [sum(group[pick][0] for group, pick in zip(groups, found.picks, strict=True)) for found in (several, one)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("seed", [4, 34, 57, 92, 123, 129])
def test_no_other_option_of_one_layer_betters_a_plan_however_little_it_loses(seed: int) -> None:
    numbers = random.Random(seed)

    def option(bits: int, size: int, most: float) -> Weighed:
        return Weighed(most * 4.0**-bits if bits < 32 else 0.0, tuple(bits * numbers.uniform(1, 2) * size for _ in range(3)))

    groups = []
    for _ in range(3):
        size, most = numbers.choice([10, 100, 1000]), 10.0 ** numbers.uniform(-9, 1)
        groups.append([option(bits, size, most) for bits in (2, 4, 8, 16, 32)])
    budgets = [sum(min(o.weights[axis] for o in group) for group in groups) * numbers.uniform(1.5, 6) for axis in range(3)]
    found = pack_several(groups, budgets)
    assert found is not None

    def fits(picks: list[int]) -> bool:
        chosen = [group[pick] for group, pick in zip(groups, picks, strict=True)]
        return all(math.fsum(o.weights[axis] for o in chosen) <= budget for axis, budget in enumerate(budgets))

    assert fits(list(found.picks))
    for number, group in enumerate(groups):
        for index, each in enumerate(group):
            moved = [index if n == number else pick for n, pick in enumerate(found.picks)]
            assert not (each.cost < group[found.picks[number]].cost and fits(moved))


def test_a_refusal_survives_another_process_with_whatever_was_said_of_it() -> None:
    problem = Problem(0, (Choices("fc", "linear", (Option("fp32", 8, 0.0),)),))
    with pytest.raises(Infeasible) as caught:
        solve(problem, Limits(max_size=4))
    sent = pickle.loads(pickle.dumps(caught.value))
    assert str(sent) == str(caught.value) and sent.offer == caught.value.offer
    caught.value.args = (f"variant a: {caught.value}",)
    assert str(pickle.loads(pickle.dumps(caught.value))).startswith("variant a: max_size 4 B")


@settings(max_examples=20, deadline=None)
@given(problems(), st.floats(0, 1))
def test_the_least_largest_sum_is_found_and_one_near_it_keeps_every_budget(problem: Problem, share: float) -> None:
    """The sums of what is near are never less than the least of all plans."""
    plans = every(problem)
    low, high = min(p[1] for p in plans), max(p[1] for p in plans)
    limit = low + share * (high - low) + 1e-9
    groups = [
        [Weighed(0.0, (o.loss, *(row.amount(c.layer, o.scheme) for row in problem.rows[:2]))) for o in c.options]
        for c in problem.choices
    ]  # fmt: skip
    groups.append([Weighed(0.0, (0.0, *(row.base for row in problem.rows[:2])))])
    picks = pack_least(groups, [limit], 0.0025, near=True)
    least = min(p[2] for p in plans if p[1] <= limit)
    if picks is not None:
        chosen = [group[pick].weights for group, pick in zip(groups, picks, strict=True)]
        assert math.fsum(each[0] for each in chosen) <= limit
        assert max(sum(each[i] for each in chosen) for i in (1, 2)) >= least * (1 - 1e-9)
    exact = pack_least(groups, [limit], 0.0025)
    assert exact is not None
    sums = [sum(group[pick].weights[i] for group, pick in zip(groups, exact, strict=True)) for i in (1, 2)]
    assert max(sums) <= least * 1.0026 + 1e-9
