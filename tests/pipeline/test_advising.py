"""A much faster plan that is hardly worse is told of where nobody limits the latency."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from sdk.pipeline.advising import advice
from sdk.pipeline.judging import Judge
from sdk.pipeline.remembering import Remembering
from sdk.planning import Choices, Limits, Option, Problem, Row, solve

MS = {"int8_channel": 9.0, "int8_channel_dynamic": 3.0, "int4_channel_dynamic": 2.0}
MEMORY = {"int8_channel": 8e6, "int8_channel_dynamic": 2e6, "int4_channel_dynamic": 1e6}
OPTIONS = (
    Option("int4_channel_dynamic", 600, 0.9), Option("int8_channel", 1_000, 0.1), Option("int8_channel_dynamic", 1_010, 0.12),
)  # fmt: skip


def problem() -> Problem:
    rows = tuple(Row(name, "", 0.0, {"fc": of}) for name, of in (("max_latency", MS), ("max_memory", MEMORY)))  # type: ignore[arg-type]
    return Problem(0, (Choices("fc", "linear", OPTIONS),), rows)


class Known:
    def __init__(self, *names: str) -> None:
        self.names = names

    def predict(self, schemes: dict[str, str]) -> dict[str, Any]:
        values = {"max_latency": MS[schemes["fc"]], "max_memory": MEMORY[schemes["fc"]]}
        return {name: SimpleNamespace(value=values[name]) for name in self.names}


def told(limits: Limits, objective: str = "quality", names: tuple[str, ...] = ("max_latency", "max_memory")) -> str | None:
    run = Remembering(partial(solve, problem()))
    return advice(problem(), limits, objective, solve(problem(), limits, objective), Judge(Known(*names)), run)  # type: ignore[arg-type]


def test_what_it_costs_and_what_it_saves_is_told() -> None:
    assert told(Limits(max_size=2_000)) == (
        "nothing limits the latency: a plan that loses 0.12 instead of 0.1 is predicted to take 3 ms instead of 9 ms and 2.00 MB "
        "of memory instead of 8.00 MB; limit it beside your other budgets (max_latency: 3ms)"
    )
    assert "takes 1.01 kB instead of 1.00 kB" in str(told(Limits(max_loss=0.13), "smallest"))
    assert "memory" not in str(told(Limits(max_size=2_000), names=("max_latency",)))


@pytest.mark.parametrize(
    ("limits", "objective", "names"),
    [
        (Limits(max_size=2_000, max_latency=9.5), "quality", ("max_latency", "max_memory")),  # who limits it has decided
        (Limits(max_size=1_005), "quality", ("max_latency", "max_memory")),  # what is faster loses too much
        (Limits(max_size=2_000, max_loss=0.11), "quality", ("max_latency", "max_memory")),  # or more than it may
        (Limits(max_size=700), "quality", ("max_latency", "max_memory")),  # it is the fastest
        (Limits(max_size=2_000), "fastest", ("max_latency", "max_memory")),
        (Limits(max_size=2_000), "quality", ("max_memory",)),  # nothing predicts it
    ],
)
def test_else_nothing_is_said(limits: Limits, objective: str, names: tuple[str, ...]) -> None:
    assert told(limits, objective, names) is None
