"""Fronts of loss against size or latency: every point keeps the other limits as predicted, and none is better than it."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.cli.main import run
from sdk.errors import BadInput
from sdk.pipeline.fronts import Axis, front_of
from sdk.planning import Choices, Limits, Option, Problem, Row, knee, solution_of, solve

COSTS = {
    "int4": (100, 0.2, 100.0, 1.0), "int8": (200, 0.05, 300.0, 2.0), "fp16": (300, 0.01, 250.0, 3.0),
    "fp32": (600, 0.0, 600.0, 4.0),
}
LAYERS = ("a", "b", "c")
WEIGHED = {"a": 1.0, "b": 1.5, "c": 2.25}


def of(layer: str, at: int) -> dict[str, float]:
    return {name: WEIGHED[layer] * each[at] for name, each in COSTS.items()}


PROBLEM = Problem(
    50,
    tuple(
        Choices(layer, "linear", tuple(Option(n, round(size), loss) for (n, size), loss in zip(
            of(layer, 0).items(), of(layer, 1).values(), strict=True)))
        for layer in LAYERS
    ),
    (
        Row("max_memory", "", 0.0, {layer: of(layer, 2) for layer in LAYERS}),
        Row("max_latency", "", 0.0, {layer: of(layer, 3) for layer in LAYERS}),
    ),
)


class Summed:
    """Memory is a tenth more than the sums say."""

    latency = object()

    def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
        memory, latency = (sum(of(layer, at)[scheme] for layer, scheme in schemes.items()) for at in (2, 3))
        return {"max_memory": SimpleNamespace(value=1.1 * memory), "max_latency": SimpleNamespace(value=latency)}


def made(limits: Limits, axis: Axis) -> Any:
    own = solve(PROBLEM, Limits(max_size=limits.max_size, max_memory=limits.max_memory and int(limits.max_memory / 1.1),
                                max_latency=limits.max_latency))
    return front_of(PROBLEM, Summed(), limits, axis, own)  # type: ignore[arg-type]


def every() -> list[tuple[float, float, float, float]]:
    """Bytes, loss, memory and latency of all plans."""
    found = []
    for schemes in itertools.product(COSTS, repeat=len(LAYERS)):
        chosen = {layer: option for layer, s in zip(LAYERS, schemes, strict=True) if (option := PROBLEM[layer].option(s))}
        plan = solution_of(PROBLEM, chosen)
        needs = Summed().predict(plan.schemes)
        found.append((plan.bytes, plan.loss, needs["max_memory"].value, needs["max_latency"].value))
    return found


@pytest.mark.parametrize(
    ("limits", "axis"),
    [
        (Limits(max_latency=9.0), "size"), (Limits(max_memory=1500), "size"), (Limits(max_memory=1500, max_latency=9.0), "size"),
        (Limits(max_size=1500), "latency"), (Limits(), "latency"), (Limits(max_memory=1800, max_size=2000), "latency"),
    ],
)  # fmt: skip
def test_every_point_keeps_the_other_limits_and_is_the_best_there(limits: Limits, axis: Axis) -> None:
    points = made(limits, axis)
    kept = [
        each for each in every()
        if (limits.max_memory is None or each[2] <= limits.max_memory)
        and (axis == "latency" or limits.max_latency is None or each[3] <= limits.max_latency)
        and (axis == "size" or limits.max_size is None or each[0] <= limits.max_size)
    ]
    at = 0 if axis == "size" else 3
    possible = {(round(each[at], 6), round(each[1], 6)) for each in kept}
    assert len(points) > 2
    for point in points:
        assert (round(point.at(axis), 6), round(point.loss, 6)) in possible, "a plan within the limits"
        assert point.loss <= min(each[1] for each in kept if each[at] <= point.at(axis)) + 1e-9
    assert [p.loss for p in points] == sorted((p.loss for p in points), reverse=True)
    assert points[0].at(axis) == pytest.approx(min(each[at] for each in kept), rel=0.006)
    assert points[-1].loss == pytest.approx(min(each[1] for each in kept))
    assert knee(points, lambda point: point.at(axis)) in points


def test_the_limit_on_the_axis_itself_does_not_cut_it() -> None:
    assert made(Limits(max_size=700, max_latency=9.0), "size")[-1].bytes > 700


def test_an_axis_that_nothing_predicts_is_refused() -> None:
    costs: Any = SimpleNamespace(latency=None)
    with pytest.raises(BadInput, match="max_latency: nothing predicts it"):
        front_of(PROBLEM, costs, Limits(), "latency", solve(PROBLEM, Limits()))


def test_the_axis_needs_a_place_for_the_front(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--pareto-axis", "latency"]) == 2
    assert "--pareto-axis: says what --pareto FILE.csv shows: add that" in capsys.readouterr().err
    assert run(["plan", "--pareto", "front.csv", "--pareto-axis", "latency"]) == 2
    assert "max_latency: nothing predicts it" in capsys.readouterr().err and not Path("front.csv").exists()


def test_a_front_against_latency_is_written_as_csv_and_picture() -> None:
    pytest.importorskip("vl_convert")
    from sdk.report import TimedPoint, timed_csv, timed_svg

    points = made(Limits(max_size=1500), "latency")
    best = knee(points, lambda point: point.at("latency"))
    timed = [TimedPoint(p.at("latency"), p.loss, p.bytes, p.price, p == best) for p in points]
    lines = timed_csv(timed).splitlines()
    assert lines[0] == "latency_ms,loss,bytes,loss_saved_per_ms,knee" and len(lines) == len(points) + 1
    assert sum(line.endswith(",1") for line in lines) == 1
    picture = timed_svg(timed, "nats", points[1].at("latency"), 0.1, 9.0)
    assert "predicted latency, ms" in picture and "budget 9 ms" in picture and "least loss at each latency" in picture
