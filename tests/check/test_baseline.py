"""Regressions against an earlier bundle: found when they are there, not when they are not, and never across devices."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.bundles import open_bundle
from sdk.check import read_result
from sdk.check.baseline import LATENCY, MEMORY, border, comparable, compare, judge_baseline, place
from sdk.check.result import Repeat
from sdk.cli.main import run
from sdk.errors import BadInput, RunnerFailed

pytestmark = pytest.mark.usefixtures("quiet")


def repeats(random: numpy.random.Generator, change: float, noise: float) -> tuple[list[Repeat], list[Repeat]]:
    """Five repeats of both sides on a machine that drifts by tens of percent from run to run, and now and then stops."""
    now, before = [], []
    for _ in range(5):
        for side, own, other in ((now, 1 + change, 1.0), (before, 1.0, 1 + change)):
            drift = 5e6 * numpy.exp(numpy.cumsum(random.normal(0, 0.05, 50)))
            taken = [drift * value * numpy.exp(random.normal(0, noise, 50)) for value in (own, other)]
            for each in taken:
                each[random.random(50) < 0.05] *= 10
            side.append(repeat(*([round(value) for value in each] for each in taken)))
    return now, before


def repeat(own: list[int], against: list[int], peak: int | None = 1000) -> Repeat:
    """A repeat of which nothing but its turns and its peak matter."""
    return Repeat(
        load_ns=1, first_ns=1, samples_ns=(1,), p90_ms=1, peak_bytes=peak, own_ns=tuple(own), against_ns=tuple(against),
        origin="host",
    )  # fmt: skip


def test_regressions_of_latency_are_found_and_false_alarms_are_rare() -> None:
    random = numpy.random.default_rng(3)
    found, alarms = (
        [judge_baseline(*repeats(random, change, 0.05), "host")[0].verdict for _ in range(100)] for change in (LATENCY, 0)
    )
    assert found.count("failed") >= 95
    assert alarms.count("failed") <= 1 and alarms.count("unjudged") <= 1


def test_regressions_of_memory_are_found_and_false_alarms_are_rare() -> None:
    random = numpy.random.default_rng(3)
    found, alarms = (
        [compare(math.log1p(change) + random.normal(0, 0.01, 5), MEMORY).change for _ in range(100)] for change in (MEMORY, 0)
    )
    assert found.count("worse") >= 95
    assert alarms.count("worse") <= 1


@pytest.mark.parametrize("looked_for", [LATENCY, MEMORY])
def test_both_errors_are_as_rare_as_allowed_at_the_same_noise(looked_for: float) -> None:
    from scipy.stats import norm

    error = math.log1p(looked_for) / (norm.isf(0.05) + norm.isf(0.01))
    assert norm.sf(math.log(border(looked_for)) / error) == pytest.approx(0.01, rel=0.01)
    assert norm.cdf((math.log(border(looked_for)) - math.log1p(looked_for)) / error) == pytest.approx(0.05, rel=0.01)


def test_one_disturbed_repeat_decides_nothing() -> None:
    assert compare([0, 0, 0, 0, 1.4], LATENCY).change == "same"
    assert compare([0.1, 0.1, 0.1, 0.1, -0.7], LATENCY).change == "worse"


def test_scatter_above_the_change_looked_for_is_said() -> None:
    assert compare([-0.35, -0.15, 0, 0.2, 0.3], LATENCY).change == "unclear"


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9), st.floats(-1, 1))
def test_the_place_moves_with_the_values_and_turns_with_their_sign(values: list[float], shift: float) -> None:
    assert place([value + shift for value in values]) == pytest.approx(place(values) + shift, abs=1e-9)
    assert place([-value for value in values]) == pytest.approx(-place(values), abs=1e-9)
    assert min(values) - 1e-9 <= place(values) <= max(values) + 1e-9


def test_what_the_first_of_a_process_has_over_the_second_cancels_out() -> None:
    now, before = [repeat([12, 12], [10, 10])] * 5, [repeat([12, 12], [10, 10])] * 5
    latency, memory = judge_baseline(now, before, "device")
    assert latency.measured.value == memory.measured.value == 1
    assert latency.verdict == memory.verdict == "passed"


def test_memory_is_left_out_where_the_device_does_not_say() -> None:
    sides = [repeat([10], [10], peak=None)] * 5
    assert [entry.name for entry in judge_baseline(sides, sides, "device")] == ["latency against baseline"]


def test_an_emulators_latency_is_no_verdict() -> None:
    sides = [repeat([10], [10])] * 5
    assert [entry.verdict for entry in judge_baseline(sides, sides, "emulator")] == ["unjudged", "passed"]


def test_a_program_that_knows_no_turns_is_named() -> None:
    sides = [repeat([], [])] * 5
    with pytest.raises(RunnerFailed, match="it has to know --against"):
        judge_baseline(sides, sides, "device")


@pytest.mark.parametrize(
    ("on", "code", "words"),
    [
        ("null", 0, ""),
        ("null:slower", 1, "latency against baseline: 1.10 where 1.06 is the limit"),
        ("null:bigger", 1, "memory against baseline: 1.05 where 1.03 is the limit"),
        ("null:emulator", 1, "unjudged (measured on an emulator"),
    ],
)
def test_the_command_compares_with_an_earlier_bundle(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], on: str, code: int, words: str
) -> None:
    out = tmp_path / "check.json"
    assert run(["check", str(bundle), "--on", on, "--baseline", str(bundle), "--json", "--out", str(out)]) == code
    assert words in json.loads(capsys.readouterr().out).get("error", "")
    found = json.loads(out.read_text())
    assert len(found["repeats"]) == len(found["baseline"]["repeats"]) == 5
    assert [entry["name"] for entry in found["budgets"]][-2:] == ["latency against baseline", "memory against baseline"]


def test_one_long_repeat_is_not_compared(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(bundle), "--on", "null", "--baseline", str(bundle), "--json", "--protocol", "soak"]) == 2
    assert "--protocol soak looks at one long repeat" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "other"}, "target is other there and null here"),
        ({"device": "pixel6"}, "device is pixel6 there and pixel8 here"),
    ],
)
def test_only_bundles_of_the_same_are_compared(bundle: Path, change: dict[str, str], words: str) -> None:
    now = open_bundle(bundle).manifest
    with pytest.raises(BadInput, match=words):
        comparable(now, now.model_copy(update=change))


def test_bundles_for_other_accelerators_are_not_compared(bundle: Path) -> None:
    now = open_bundle(bundle).manifest
    with pytest.raises(BadInput, match="accelerator is gpu there and cpu here"):
        comparable(now, now.model_copy(update={"accelerator": SimpleNamespace(kind="gpu")}))


def test_only_bundles_with_the_same_inputs_are_compared(bundle: Path) -> None:
    now = open_bundle(bundle).manifest
    model = now.model.model_copy(update={"inputs": now.model.inputs * 2})
    with pytest.raises(BadInput, match="inputs of other types or shapes"):
        comparable(now, now.model_copy(update={"model": model}))


@pytest.mark.slow
def test_this_machine_runs_both_in_turns(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    assert run(["check", str(bundle), "--baseline", str(bundle), "--out", str(out)]) in (0, 1)
    found = read_result(out)
    assert found.baseline is not None
    for each in (*found.repeats, *found.baseline.repeats):
        assert len(each.own_ns) == len(each.against_ns) == 52
    memory = found.budgets[-1]
    assert (memory.name, memory.verdict, memory.measured.origin) == ("memory against baseline", "passed", "host")
