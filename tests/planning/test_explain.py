"""Why a layer has its scheme: reasons on the plan's lines, verdicts on every scheme considered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.errors import BadInput
from sdk.planning import Choices, Limits, Option, Problem, Row, explain, make_plan, marginal_price, solve


def test_every_scheme_gets_a_verdict(problem, plan):
    found = explain(problem, plan, "blocks.1.fc")
    assert {v.scheme: v.status for v in found.verdicts} == {
        "int4_g32_dynamic": "lossier",
        "int8_channel_dynamic": "chosen",
        "int8_g32": "beaten",
        "fp32": "dearer",
        "lut4": "refused",
    }
    words = {v.scheme: v.why for v in found.verdicts}
    assert words["int8_g32"] == "beaten by int8_channel_dynamic: no bigger, no lossier"
    assert (
        words["int4_g32_dynamic"] == "saves 800 B and adds 0.066; those bytes buy back only 0.0018 elsewhere"
    )
    assert words["fp32"] == "4.60 kB more would save 0.00067; spent elsewhere they save 0.011"
    assert words["lut4"] == "not measured for linear layers on this target"


@pytest.mark.parametrize(
    ("max_loss", "layer", "scheme", "why"),
    [
        (1.0, "blocks.0.fc", "int8_channel_dynamic", "400 B more would save 0.2, which max_loss 1 does not need"),
        (
            0.00837, "blocks.0.fc", "int8_channel_dynamic",
            "saves 2.30 kB and adds 0.002: cheap, but more than max_loss 0.00837 has left",
        ),
    ],
)
def test_the_smallest_file_is_explained_by_its_loss(problem, facts, max_loss, layer, scheme, why):
    limits = Limits(max_loss=max_loss)
    plan = make_plan(facts, problem, solve(problem, limits, "smallest"), limits, "smallest")
    verdicts = explain(problem, plan, layer).verdicts
    assert {v.scheme: v.why for v in verdicts}[scheme] == why


def test_the_price_falls_as_the_file_grows(problem):
    prices = [marginal_price(problem, size) for size in range(8500, 50_000, 500)]
    assert prices == sorted(prices, reverse=True)
    assert prices[-1] == 0


def test_an_unknown_layer_gets_the_nearest(problem, plan):
    with pytest.raises(BadInput, match=r"no layer 'blocks\.1'; did you mean 'blocks\.1\.fc'"):
        explain(problem, plan, "blocks.1")


def test_reasons_name_both_neighbours(plan):
    assert plan.layers[0].reason == (
        "fp32 costs 2.30 kB more to save 0.002; int4_g32_dynamic would save 400 B but add 0.2"
    )
    assert plan.layers[3].reason == "smallest: int8_channel_dynamic costs 3.20 kB more to save 0.0073"


def test_the_only_scheme_says_so(facts):
    problem = Problem(0, (Choices("fc", "linear", (Option("fp32", 8, 0.0),)),))
    plan = make_plan(facts, problem, solve(problem, Limits()), Limits(), "quality")
    assert plan.layers[0].reason == "the only scheme allowed here"


options = st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-9, 1.0)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(options, min_size=1, max_size=4), st.floats(0, 1))
def test_every_layer_of_every_optimum_is_explained(layers, share):
    """The chosen scheme is never beaten, and a reason and a verdict exist for each option."""
    choices = tuple(
        Choices(
            f"l{n}",
            "linear",
            tuple(
                sorted(
                    (Option(f"s{i}", size, loss) for i, (size, loss) in enumerate(found)),
                    key=lambda o: (o.bytes, o.loss),
                )
            ),
        )
        for n, found in enumerate(layers)
    )
    problem = Problem(10, choices)
    low = 10 + sum(c.options[0].bytes for c in choices)
    high = 10 + sum(c.options[-1].bytes for c in choices)
    limits = Limits(max_size=low + int((high - low) * share))
    solution = solve(problem, limits)
    plan = make_plan(_facts(), problem, solution, limits, "quality")
    for line, considered in zip(plan.layers, choices, strict=True):
        found = explain(problem, plan, line.layer)
        assert line.reason
        assert [v.status for v in found.verdicts].count("chosen") == 1
        assert len(found.verdicts) == len(considered.options)


def _facts():
    from sdk.planning import Calibration, Facts

    return Facts("net", "sha256:0", "host", "null", None, "kl", Calibration(origin="synthetic (data-free)"))


COSTS = {
    "int4": (100, 0.2, 100.0, 4.0), "int8": (200, 0.1, 300.0, 2.0), "fp16": (150, 0.05, 250.0, 3.0),
    "fp32": (400, 0.0, 400.0, 2.5),
}
"""Bytes, loss, bytes of memory and ms of a scheme: by bytes and loss nothing speaks for int8, the fastest."""


def timed():
    options = tuple(sorted((Option(n, size, loss) for n, (size, loss, _, _) in COSTS.items()), key=lambda o: o.bytes))
    rows = tuple(
        Row(budget, "", 0.0, {name: {n: each[at] for n, each in COSTS.items()} for name in ("a", "b")})
        for budget, at in (("max_memory", 2), ("max_latency", 3))
    )
    return Problem(10, tuple(Choices(name, "linear", options) for name in ("a", "b")), rows)


def verdicts(limits, objective, needs=None):
    problem = timed()
    plan = make_plan(_facts(), problem, solve(problem, limits, objective), limits, objective)
    return {v.scheme: (v.status, v.why) for v in explain(problem, plan, "a", needs).verdicts}


def test_a_limit_on_latency_that_decides_is_the_reason():
    found = verdicts(Limits(max_latency=4.2), "quality")
    over = "with it the plan needs 5 ms of latency, above max_latency 4.2 ms"
    assert found["fp16"] == ("over", over)
    assert found["int8"] == ("chosen", f"fp16 is no bigger and no lossier, but {over}")
    assert not any("-" in why for _, why in found.values()), "no loss is negative"


def test_a_limit_on_memory_that_decides_is_the_reason():
    found = verdicts(Limits(max_memory=520), "quality")
    assert found["fp32"] == ("over", "with it the plan needs 650 B of memory, above max_memory 520 B")
    assert found["int4"] == ("lossier", "saves 50 B and adds 0.15; no limit asks for those bytes")


def test_an_objective_that_decides_is_the_reason():
    found = verdicts(Limits(max_loss=1.0), "fastest")
    assert found["int8"][0] == "chosen"
    assert found["fp16"] == ("costlier", "1 ms of latency more, of which the objective fastest wants the least")
    assert found["int4"] == ("costlier", "2 ms of latency more, of which the objective fastest wants the least")


def test_what_plans_are_predicted_to_need_is_told_where_it_is_known():
    found = verdicts(Limits(max_latency=4.2), "quality", lambda schemes: {"max_latency": 9.0 if schemes["a"] == "fp16" else 4.0})
    assert found["fp16"] == ("over", "with it the plan needs 9 ms of latency, above max_latency 4.2 ms")
    assert found["fp32"][0] != "over"
