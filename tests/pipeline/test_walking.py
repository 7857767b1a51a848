"""Plans by prices: places to begin from where sums mislead."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from sdk.pipeline.improving import improved
from sdk.pipeline.judging import Judge
from sdk.pipeline.walking import walked
from sdk.planning import Choices, Limits, Option, Problem, Row, Tie, solve

SCHEMES = {"int4": (100, 0.2), "int4_static": (110, 0.25), "int8": (200, 0.1), "int8_static": (210, 0.11), "fp32": (400, 0.0)}
LAYERS = tuple("abcdef")
HALF = {scheme: 0.5 if scheme.endswith("static") else 1.0 for scheme in SCHEMES}
PROBLEM = Problem(
    0,
    tuple(
        Choices(name, "linear", tuple(Option(s, size, 10.0**place * loss) for s, (size, loss) in SCHEMES.items()))
        for place, name in enumerate(LAYERS)
    ),
    (
        Row("max_memory", "running", 0.0, {name: {s: float(size) for s, (size, _) in SCHEMES.items()} for name in LAYERS}),
        Row("max_latency", "one inference", 0.0, {name: HALF for name in LAYERS}),
    ),
)  # fmt: skip


class Converting:
    """Neighbours of which one is static cost 1 ms each, which no sum of layers sees: one layer after the other only loses."""

    def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
        static = [scheme.endswith("static") for scheme in schemes.values()]
        borders = sum(one != two for one, two in pairwise(static))
        return {
            "max_memory": SimpleNamespace(value=float(sum(SCHEMES[s][0] for s in schemes.values()))),
            "max_latency": SimpleNamespace(value=len(static) - 0.5 * sum(static) + borders),
        }


def test_plans_lie_along_the_whole_front_and_are_the_same_each_time() -> None:
    found = walked(PROBLEM)
    assert {scheme for each in found for scheme in each.schemes.values()} == SCHEMES.keys()
    assert [each.schemes for each in found] == [each.schemes for each in walked(PROBLEM)]
    assert len({tuple(each.schemes.values()) for each in found}) == len(found)


def test_a_plan_is_found_that_no_step_by_one_layer_leads_to() -> None:
    limits = Limits(max_memory=1300, max_latency=3.5)
    start = solve(PROBLEM, Limits(max_size=600))
    assert improved(PROBLEM, limits, "quality", [start], Judge(Converting())) is None  # type: ignore[arg-type]
    best = improved(PROBLEM, limits, "quality", [start, *walked(PROBLEM)], Judge(Converting()))  # type: ignore[arg-type]
    assert best is not None and set(best.schemes.values()) == {"int8_static"}


def test_layers_of_one_weight_are_no_choice_of_one_layer() -> None:
    tied = Problem(0, PROBLEM.choices, PROBLEM.rows, (Tie("a", "b", apart=False, saved={}),))
    assert walked(tied) == []
