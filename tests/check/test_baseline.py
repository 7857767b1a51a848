"""Regressions between two results: found when they are there, not when they are not, and never across devices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest

from sdk.check.baseline import LATENCY, MEMORY, compare_pairs
from sdk.cli.main import run
from sdk.errors import BadInput


def pairs(random: numpy.random.Generator, change: float, noise: float, count: int = 5) -> tuple[list[float], list[float]]:
    """Repeats of both sides while the machine drifts by tens of percent, alike for both of a pair."""
    drift = numpy.exp(numpy.cumsum(random.normal(0, 0.15, count)))
    before, now = (drift * numpy.exp(random.normal(0, noise, count)) for _ in range(2))
    return before.tolist(), (now * (1 + change)).tolist()


@pytest.mark.parametrize(("looked_for", "noise"), [(LATENCY, 0.02), (MEMORY, 0.01)])
def test_regressions_are_found_and_false_alarms_are_rare(looked_for: float, noise: float) -> None:
    random = numpy.random.default_rng(3)
    found = [compare_pairs(*pairs(random, looked_for, noise), looked_for).change for _ in range(100)]
    alarms = [compare_pairs(*pairs(random, 0, noise), looked_for).change for _ in range(100)]
    assert found.count("worse") >= 95
    assert alarms.count("worse") <= 1


def test_one_disturbed_pair_decides_nothing() -> None:
    assert compare_pairs([10.0] * 5, [10, 10, 10, 10, 40], LATENCY).change == "same"
    assert compare_pairs([10.0] * 5, [11, 11, 11, 11, 5], LATENCY).change == "worse"


def test_scatter_above_the_change_looked_for_is_said() -> None:
    assert compare_pairs([10.0] * 5, [7, 8.5, 10, 12, 14], LATENCY).change == "unclear"


def test_fewer_than_five_pairs_say_nothing() -> None:
    with pytest.raises(BadInput, match="at least 5"):
        compare_pairs([1.0] * 3, [1.0] * 3, LATENCY)


@pytest.mark.usefixtures("quiet")
def test_the_command_compares_with_an_earlier_result(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdk.check import protocols

    monkeypatch.setitem(protocols.PROTOCOLS, "full", protocols.Protocol("full", 0, 50, 0, 5, 0, 60))
    base = tmp_path / "base.json"
    check = ["check", str(bundle), "--on", "null", "--protocol", "full", "--json"]
    assert run([*check, "--out", str(base)]) == 0
    assert run([*check, "--baseline", str(base)]) == 0
    data = json.loads(base.read_text())
    for repeat in data["repeats"]:
        repeat["samples_ns"] = [round(each / 1.1) for each in repeat["samples_ns"]]
    base.write_text(json.dumps(data))
    capsys.readouterr()
    assert run([*check, "--baseline", str(base)]) == 1
    assert "latency against baseline: 1.10 where 1.05 is the limit" in json.loads(capsys.readouterr().out)["error"]
    data["device"]["id"] = "another"
    base.write_text(json.dumps(data))
    assert run([*check, "--baseline", str(base)]) == 2
    assert "device.id is another there and null here" in json.loads(capsys.readouterr().out)["error"]
