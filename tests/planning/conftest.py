"""A small model to plan, shared by the tests that need no particular one."""

import pytest

from sdk.planning import Calibration, Choices, Facts, Limits, Option, Problem, Refusal, make_plan, solve


@pytest.fixture
def problem():
    """Four linears, each twice the size of the one before, each less sensitive; 1000 bytes of graph."""
    refused = (Refusal("lut4", "not measured for linear layers on this target"),)
    return Problem(
        base=1000,
        choices=tuple(
            Choices(
                layer=f"blocks.{i}.fc",
                kind="linear",
                options=(
                    Option("int4_g32_dynamic", 500 * 2**i, 0.2 / 3**i),
                    Option("int8_channel_dynamic", 900 * 2**i, 0.002 / 3**i),
                    Option("int8_g32", 1000 * 2**i, 0.0021 / 3**i),
                    Option("fp32", 3200 * 2**i, 0.0),
                ),
                refused=refused,
            )
            for i in range(4)
        ),
    )


@pytest.fixture
def facts():
    return Facts(
        model="net",
        digest="sha256:" + "ab" * 32,
        device="pixel8",
        target="executorch",
        min_os=None,
        loss="kl",
        calibration=Calibration(origin="data", samples=16, digest="sha256:" + "cd" * 32),
    )


@pytest.fixture
def plan(problem, facts):
    limits = Limits(max_size=12_000)
    return make_plan(facts, problem, solve(problem, limits), limits, "quality")
