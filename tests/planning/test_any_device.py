"""The laws of planning on every device and target there is: 300 random models with the real capability tables."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.devices import list_devices
from sdk.lowering.discovery import find_target, list_targets
from sdk.models import Layer
from sdk.pipeline.choosing import solve_within
from sdk.pipeline.planning import families_of, newest_os, restriction_of
from sdk.planning import (
    Calibration,
    Facts,
    Infeasible,
    Limits,
    Problem,
    Row,
    allowed,
    considered,
    make_plan,
    need,
    parse_plan,
    plan_text,
    solve,
)
from sdk.schemes import all_schemes, scheme_named

SHAPES: dict[str, tuple[int, ...]] = {
    "linear": (), "embedding": (), "conv1d": (3,), "conv2d": (3, 3), "depthwise": (3, 3), "conv_transpose2d": (2, 2),
}  # fmt: skip
DEVICES = {device.name: device for device in list_devices()}
PAIRS = [
    (device, target) for device in DEVICES.values() for target in list_targets() if families_of(device, target)
]


def layer(name: str, kind: str, outputs: int, inputs: int) -> Layer:
    shape = (outputs, 1 if kind == "depthwise" else inputs, *SHAPES[kind])
    count = 1
    for extent in shape:
        count *= extent
    return Layer(
        name=name, kind=kind, weights=(f"{name}.weight",), shape=shape, channel_axis=1 if kind == "conv_transpose2d" else 0,
        parameters=count, macs=count, bias=None, input=f"{name}_in", output=f"{name}_out", fused=(f"{name}_out",), uses=1,
        tied=(), groups=outputs if kind == "depthwise" else 1,
    )  # fmt: skip


@st.composite
def cases(draw: Any) -> tuple[str, str, float | None, tuple[Layer, ...], Problem]:
    """A device, a target, its OS floor, layers, and their problem: losses rise as bits fall, memory and latency are random."""
    device, target = draw(st.sampled_from(PAIRS))
    floor = device.os.floor.value if device.os.floor is not None else newest_os(target)
    kinds = draw(st.lists(st.sampled_from(sorted(SHAPES)), min_size=1, max_size=6))
    numbers = random.Random(draw(st.integers(0, 2**32)))
    layers = tuple(
        layer(f"l{i}", kind, numbers.choice([8, 16, 40, 64]), numbers.choice([8, 32, 96, 128])) for i, kind in enumerate(kinds)
    )
    always = (target.fallback, target.lossless)
    choices, amounts = [], {name: dict[str, dict[str, float]]() for name in ("max_memory", "max_latency")}
    for each in layers:
        kept, refused = allowed(
            each, target.capabilities(), floor, all_schemes().values(), restriction_of(device, target), always
        )
        sensitivity = numbers.uniform(0.001, 1)
        bytes_ = {s.name: each.parameters * s.bits // 8 + numbers.randrange(64) for s in kept}
        losses = {s.name: 0.0 if s.bits == 32 else sensitivity * 4.0**-s.bits * numbers.uniform(0.5, 2) for s in kept}
        choices.append(considered(each, kept, refused, bytes_, losses))
        for found in amounts.values():
            found[each.name] = {s.name: numbers.uniform(1, 1000) for s in kept}
    rows = tuple(Row(name, "", 100.0, found) for name, found in amounts.items())  # type: ignore[arg-type]
    return device.name, target.name, floor, layers, Problem(1000, tuple(choices), rows)


def share_of(problem: Problem, shares: tuple[float, float, float]) -> Limits:
    """Limits somewhere between the least and the most that any plan needs."""
    sizes = [[o.bytes for o in c.options] for c in problem.choices]
    size = 1000 + sum(min(s) + shares[0] * (max(s) - min(s)) for s in sizes)
    found = []
    for row, share in zip(problem.rows, shares[1:], strict=True):
        each = [list(row.amounts[c.layer].values()) for c in problem.choices]
        found.append(row.base + sum(min(a) + share * (max(a) - min(a)) for a in each))
    return Limits(max_size=int(size), max_memory=int(found[0]) + 1, max_latency=found[1])


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.tuples(*[st.floats(0.05, 1)] * 3), st.floats(1, 1.5))
def test_plans_keep_their_limits_and_what_the_device_runs(case: Any, shares: tuple[float, float, float], wider: float) -> None:
    device, target, floor, layers, problem = case
    limits = share_of(problem, shares)
    try:
        found = solve_within(problem, limits, "quality")
    except Infeasible as refusal:
        assert refusal.offer is not None
        return
    schemes = {name: option.scheme for name, option in found.chosen.items()}
    assert limits.max_size is not None and limits.max_memory is not None and limits.max_latency is not None
    assert found.bytes <= limits.max_size
    assert (need(problem.rows, "max_memory", schemes) or 0) <= limits.max_memory
    assert (need(problem.rows, "max_latency", schemes) or 0) <= limits.max_latency

    rows = find_target(target).capabilities()
    always = (find_target(target).fallback, find_target(target).lossless)
    for each in layers:
        kept, _ = allowed(
            each, rows, floor, [scheme_named(schemes[each.name])], restriction_of(DEVICES[device], find_target(target)), always
        )
        assert [s.name for s in kept] == [schemes[each.name]]

    more = Limits(int(wider * limits.max_size), None, int(wider * limits.max_memory), wider * limits.max_latency)
    assert solve(problem, more).loss <= solve(problem, limits).loss + 1e-12
    turned = Problem(problem.base, tuple(reversed(problem.choices)), problem.rows)
    assert solve(turned, limits).loss == pytest.approx(solve(problem, limits).loss, rel=1e-9, abs=1e-15)

    facts = Facts("net", "0" * 64, device, target, floor, "kl", Calibration(origin="data", samples=4))
    plan = make_plan(facts, problem, found, limits, "quality")
    assert parse_plan(plan_text(plan), "plan.yaml") == plan
