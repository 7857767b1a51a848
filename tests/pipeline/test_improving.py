"""Where sums mislead, plans are bettered by what is predicted of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sdk.pipeline.improving import improved, nearer, nearest
from sdk.pipeline.judging import Judge
from sdk.pipeline.refusing import NotKept
from sdk.planning import Choices, Limits, Option, Problem, Row, Tie, solution_of, solve

SCHEMES = {"int4": (100, 0.2), "int8": (200, 0.1), "fp32": (400, 0.0)}
LAYERS = ("a", "b", "c")
PROBLEM = Problem(
    0, tuple(Choices(name, "linear", tuple(Option(s, size, loss) for s, (size, loss) in SCHEMES.items())) for name in LAYERS),
    (Row("max_memory", "running", 0.0, {name: {s: float(size) for s, (size, _) in SCHEMES.items()} for name in LAYERS}),),
)  # fmt: skip


class Mixing:
    """Layers of another scheme than the first one's cost 500 each, which no sum of layers sees."""

    calls = 0

    def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
        self.calls += 1
        other = sum(scheme != schemes["a"] for scheme in schemes.values())
        return {"max_memory": SimpleNamespace(value=float(sum(SCHEMES[s][0] for s in schemes.values()) + 500 * other))}


def test_a_plan_that_keeps_a_limit_gets_better_until_no_layer_can() -> None:
    judge = Judge(Mixing())  # type: ignore[arg-type]
    start = solve(PROBLEM, Limits(max_size=300))
    best = improved(PROBLEM, Limits(max_memory=900), "quality", [start], judge)
    assert best is not None and judge.predict(best)["max_memory"] <= 900
    assert best.loss < start.loss
    assert improved(PROBLEM, Limits(max_memory=900, max_size=350), "quality", [start], judge).loss == start.loss  # type: ignore[union-attr]


def test_none_where_no_plan_keeps_the_limits_and_the_nearest_is_named() -> None:
    judge = Judge(Mixing())  # type: ignore[arg-type]
    mixed = {each.layer: each.options[each.layer == "c"] for each in PROBLEM.choices}
    found = [solution_of(PROBLEM, mixed), solve(PROBLEM, Limits())]
    assert improved(PROBLEM, Limits(max_memory=250), "quality", found, judge) is None
    (plan,) = nearest(PROBLEM, Limits(max_memory=250), found, judge).values()
    assert judge.predict(plan) == {"max_memory": 300.0}  # all in 4 bits, which neither of those that were found is


def test_where_more_bytes_or_loss_would_do_the_refusal_says_so() -> None:
    judge, limits = Judge(Mixing()), Limits(max_size=450, max_loss=0.35, max_memory=1_000)  # type: ignore[arg-type]
    found = [solve(PROBLEM, Limits(max_size=size)) for size in (300, 600, 1_200)]
    assert improved(PROBLEM, limits, "quality", found, judge) is None
    plans = nearest(PROBLEM, limits, found, judge)
    assert {name: judge.predict(plan)["max_memory"] for name, plan in plans.items()} == {"max_size": 600.0, "max_loss": 900.0}
    text = str(nearer(NotKept(limits, {"max_memory": None}, {"max_memory": 1_100.0}), plans, judge, 0.1))
    assert text.startswith("max_size 450 B and max_memory 1.00 kB and max_loss 0.35 cannot be met together: ")
    assert "raise max_size to 667 B (667 bytes) (at a loss of 0.3) or max_loss to 0.5, or choose" in text


def test_a_plan_is_predicted_once_and_layers_of_one_weight_stay_together() -> None:
    costs = Mixing()
    judge = Judge(costs)  # type: ignore[arg-type]
    start = solve(PROBLEM, Limits(max_size=300))
    improved(PROBLEM, Limits(max_memory=900), "quality", [start], judge)
    assert costs.calls == judge.predictions
    tied = Problem(0, PROBLEM.choices, PROBLEM.rows, (Tie("a", "b", apart=False, saved={}),))
    assert improved(tied, Limits(max_memory=900), "quality", [start], judge) == start
