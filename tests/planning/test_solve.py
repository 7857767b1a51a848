"""The solver's laws: exact, within its limits, monotone, and blind to the order of the layers."""

import itertools
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.planning import Choices, FrontPoint, Infeasible, Limits, Option, Problem, front, knee, solve

SCHEMES = ("a", "b", "c", "d", "e")
losses = st.one_of(
    st.just(0.0),
    st.floats(1e-12, 10.0),
    st.builds(lambda digits, power: digits * 10.0**power, st.integers(1, 99), st.integers(-12, -1)),
)
sizes = st.one_of(st.integers(0, 40), st.integers(1, 10**9))


@st.composite
def problems(draw, layers=5):
    choices = []
    for number in range(draw(st.integers(1, layers))):
        count = draw(st.integers(1, len(SCHEMES)))
        options = [Option(SCHEMES[i], draw(sizes), draw(losses)) for i in range(count)]
        options.sort(key=lambda o: (o.bytes, o.loss, o.scheme))
        choices.append(Choices(f"layer{number}", "linear", tuple(options)))
    return Problem(draw(st.integers(0, 1000)), tuple(choices))


def every(problem):
    """All (bytes, loss) that the problem has."""
    for picks in itertools.product(*(c.options for c in problem.choices)):
        yield problem.base + sum(o.bytes for o in picks), math.fsum(o.loss for o in picks)


def bounds(problem):
    smallest = problem.base + sum(min(o.bytes for o in c.options) for c in problem.choices)
    return smallest, problem.base + sum(max(o.bytes for o in c.options) for c in problem.choices)


@settings(max_examples=200, deadline=None)
@given(problems(), st.floats(0, 1))
def test_best_quality_is_that_of_brute_force(problem, share):
    low, high = bounds(problem)
    limit = max(low + int((high - low) * share), 1)
    found = solve(problem, Limits(max_size=limit)) if low <= limit else None
    if found is None:
        return
    best = min(loss for size, loss in every(problem) if size <= limit)
    assert found.bytes <= limit
    assert found.loss == pytest.approx(best, rel=1e-9, abs=0)
    assert found.gap == 0


@settings(max_examples=200, deadline=None)
@given(problems(), st.data())
def test_smallest_is_that_of_brute_force_and_then_the_least_lossy(problem, data):
    limit = data.draw(st.sampled_from(sorted({loss for _, loss in every(problem)})))
    found = solve(problem, Limits(max_loss=limit), "smallest")
    size, loss = min((size, loss) for size, loss in every(problem) if loss <= limit)
    assert found.loss <= limit
    assert found.bytes == size
    assert found.loss == pytest.approx(loss, rel=1e-9, abs=0)


@settings(max_examples=100, deadline=None)
@given(problems(), st.data())
def test_a_limit_that_is_exactly_met_is_met(problem, data):
    size, loss = data.draw(st.sampled_from(sorted(every(problem))))
    if size == 0:
        return
    assert solve(problem, Limits(max_size=size)).loss <= loss
    assert solve(problem, Limits(max_loss=loss), "smallest").bytes <= size
    both = solve(problem, Limits(size, loss))
    assert both.bytes <= size and both.loss <= loss


@settings(max_examples=100, deadline=None)
@given(problems(), st.floats(0, 1), st.floats(0, 1))
def test_a_wider_limit_never_makes_it_worse(problem, one, other):
    low, high = bounds(problem)
    narrow, wide = sorted(max(low + int((high - low) * share), 1) for share in (one, other))
    if low > narrow:
        return
    tight = solve(problem, Limits(max_size=narrow))
    assert solve(problem, Limits(max_size=wide)).loss <= tight.loss * (1 + 1e-12)


@settings(max_examples=100, deadline=None)
@given(problems(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_the_order_of_layers_is_irrelevant(problem, share, rng):
    low, high = bounds(problem)
    limit = Limits(max_size=max(low + int((high - low) * share), low, 1))
    shuffled = list(problem.choices)
    rng.shuffle(shuffled)
    again = Problem(problem.base, tuple(shuffled))
    assert dict(solve(problem, limit).chosen) == dict(solve(again, limit).chosen)
    assert list(solve(again, limit).chosen) == [c.layer for c in shuffled]


@settings(max_examples=100, deadline=None)
@given(problems(), st.integers(1, 2 * 10**9), st.floats(0, 20))
def test_impossible_limits_get_a_counter_offer_that_holds(problem, max_size, max_loss):
    possible = [(s, loss) for s, loss in every(problem) if s <= max_size and loss <= max_loss]
    try:
        found = solve(problem, Limits(max_size, max_loss))
    except Infeasible as refusal:
        offer = refusal.offer
        assert not possible
        assert solve(problem, Limits(max_size=max(offer.smallest_size, 1))).loss <= offer.smallest_loss
        assert solve(problem, Limits(max_loss=offer.best_loss), "smallest").bytes <= offer.best_size
        if offer.binding == "both":
            assert solve(problem, Limits(max_size, offer.loss_at_size)).bytes <= max_size
            assert solve(problem, Limits(max_size + offer.missing_bytes, max_loss)).loss <= max_loss
        assert str(refusal) == offer.sentence() and "\n" not in str(refusal)
    else:
        assert (found.bytes, found.loss) == min(possible, key=lambda p: p[1]) or found.loss == pytest.approx(
            min(loss for _, loss in possible), rel=1e-9
        )


@pytest.mark.parametrize(
    ("limits", "objective", "sentence"),
    [
        (Limits(max_size=5000), "quality", (
            "max_size 5.00 kB (5,000 bytes) cannot be met: the smallest possible file is "
            "8.50 kB (8,500 bytes) at a loss of 0.296, 3,500 bytes more, and 49.0 kB (49,000 bytes) "
            "is loss-free; raise max_size or choose another target"
        )),
        (Limits(max_size=9000, max_loss=0.01), "quality", (
            "max_size 9.00 kB (9,000 bytes) and max_loss 0.01 cannot both be met: raise max_loss to 0.0983 "
            "or max_size by 4,600 bytes to 13.6 kB (13,600 bytes) (the smallest file is 8.50 kB "
            "(8,500 bytes) at a loss of 0.296, and 49.0 kB (49,000 bytes) is loss-free)"
        )),
    ],
)  # fmt: skip
def test_refusals_read_like_this(problem, limits, objective, sentence):
    with pytest.raises(Infeasible) as refusal:
        solve(problem, limits, objective)
    assert str(refusal.value) == sentence


def test_a_loss_that_no_scheme_reaches_is_refused():
    problem = Problem(10, (Choices("fc", "linear", (Option("int4_g32", 5, 0.1),)),))
    with pytest.raises(Infeasible, match=r"the least possible loss is 0\.1 at 15 B"):
        solve(problem, Limits(max_loss=0.01), "smallest")


@pytest.mark.parametrize("limits", [Limits(max_size=0), Limits(max_size=-5), Limits(max_loss=float("nan"))])
def test_limits_that_are_no_limits_are_refused(problem, limits):
    with pytest.raises(BadInput):
        solve(problem, limits)


def test_without_limits_quality_is_loss_free_and_smallest_is_smallest(problem):
    assert solve(problem, Limits()).loss == 0
    assert solve(problem, Limits(), "smallest").bytes == 8500


def test_an_unknown_objective_lists_the_known(problem):
    with pytest.raises(BadInput, match="use fastest or least-memory or quality or smallest"):
        solve(problem, Limits(), "cheapest")


def test_a_model_without_layers_is_its_base():
    assert solve(Problem(77, ()), Limits(max_size=77)).bytes == 77
    with pytest.raises(Infeasible):
        solve(Problem(77, ()), Limits(max_size=76))


def big(layers, schemes, seed):
    """A model such as people have: sizes over four decades, sensitivities over four, widths 1 to 32."""
    rng = random.Random(seed)
    choices = []
    for number in range(layers):
        weights, harm = int(10 ** rng.uniform(2, 6.3)), 10 ** rng.uniform(-4, 0)
        options = []
        for index in range(schemes):
            bits = rng.choice((1, 2, 3, 4, 4, 6, 8, 8, 16, 32))
            loss = harm * 4.0**-bits * rng.uniform(0.5, 2) if bits < 32 else 0.0
            options.append(Option(f"s{index}", weights * bits // 8 + rng.randrange(64), loss))
        options.sort(key=lambda o: (o.bytes, o.loss, o.scheme))
        choices.append(Choices(f"layer{number:03}", "linear", tuple(options)))
    return Problem(10_000, tuple(choices))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_500_layers_of_16_schemes_are_solved_exactly_and_soon(share):
    problem = big(500, 16, seed=1)
    low, high = bounds(problem)
    limit = low + int((high - low) * share)
    start = time.process_time()
    found = solve(problem, Limits(max_size=limit))
    assert time.process_time() - start < 4, "1 s on an idle machine"
    assert found.bytes <= limit and found.gap == 0 and limit - found.bytes < 1000


def test_the_solver_prints_nothing(capfd):
    problem = big(200, 16, seed=3)
    low, high = bounds(problem)
    for share in (0.05, 0.2, 0.5):
        solve(problem, Limits(max_size=low + int((high - low) * share)))
    print("heard")
    assert capfd.readouterr().out == "heard\n"


def test_the_front_falls_from_the_smallest_to_the_loss_free(problem):
    points = front(problem, points=12)
    assert (points[0].bytes, points[-1].bytes, points[-1].loss) == (8500, 49000, 0.0)
    assert all(a.bytes < b.bytes and a.loss > b.loss for a, b in itertools.pairwise(points))


@settings(max_examples=200, deadline=None)
@given(problems())
def test_every_point_of_the_front_is_the_best_of_its_size(problem):
    points = front(problem)
    sizes = {size for size, _ in every(problem)}
    assert points[0].bytes == min(sizes)
    assert points[-1].loss == pytest.approx(min(loss for _, loss in every(problem)), rel=1e-9, abs=1e-15)
    for point in points:
        best = min(loss for size, loss in every(problem) if size <= point.bytes)
        assert point.loss == pytest.approx(best, rel=1e-9, abs=1e-12 * points[0].loss)
    assert all(a.price >= b.price for a, b in itertools.pairwise(points))


def test_a_front_of_many_layers_is_exact_and_thinned():
    problem = big(120, 8, seed=1)
    points = front(problem, points=10)
    assert len(points) == 10
    for point in points:
        assert solve(problem, Limits(max_size=point.bytes)).loss == pytest.approx(point.loss, rel=1e-9)


def test_the_order_of_the_layers_does_not_change_the_front(problem):
    assert front(problem) == front(Problem(problem.base, problem.choices[::-1]))


def test_the_knee_is_where_the_front_bends():
    bent = tuple(FrontPoint(bytes, loss, 0.0) for bytes, loss in ((100, 1.0), (150, 0.3), (200, 0.05), (400, 0.02), (900, 0.0)))
    assert knee(bent, lambda point: point.bytes) == bent[2]
    assert knee(bent[:2], lambda point: point.bytes) is None


def test_layers_that_stay_in_floats_are_named_where_they_are_much_of_the_smallest_file():
    stays = [Choices(f"encoder.{n}", "lstm", (Option("fp32", 400 + n, 0.0),)) for n in range(2)]
    linear = Choices("head", "linear", (Option("int8_channel", 300, 0.1), Option("fp32", 1200, 0.0)))
    with pytest.raises(Infeasible) as refusal:
        solve(Problem(0, (*stays, linear)), Limits(max_size=900))
    said = "(801 B of it 2 lstm layers that stay in floats: `sdk plan --explain encoder.1` says why)"
    assert f"201 bytes more {said}, and 2.00 kB" in str(refusal.value)
    with pytest.raises(Infeasible) as refusal:
        solve(Problem(4000, (*stays, linear)), Limits(max_size=900))
    assert "stay in floats" not in str(refusal.value)
