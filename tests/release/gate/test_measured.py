"""The comparison of repeated measurements: real regressions are found, noise raises no alarm, emulators say nothing."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from sdk.release.gate.measured import CONFIDENCE, lowest_difference

pytestmark = pytest.mark.usefixtures("quiet")
FLAT = [[1.0] * 10] * 5


def line(lines: list[dict[str, Any]], rule: str) -> dict[str, Any]:
    return next(line for line in lines if line["rule"] == rule)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (4, 5), (5, 5)])
def test_the_bound_holds_as_often_as_it_says(m: int, n: int) -> None:
    """Over every order of equal distributions, the bound is above zero in at most 1 - CONFIDENCE of them."""
    orders = list(itertools.combinations(range(m + n), m))
    alarms = 0
    for first in orders:
        after = [float(i) for i in range(m + n) if i not in first]
        alarms += (lowest_difference([float(i) for i in first], after) or 0.0) > 0
    share = alarms / len(orders)
    assert share <= max(1 - CONFIDENCE, 1 / len(orders))
    assert share > 0


def test_too_few_repeats_have_no_bound() -> None:
    assert lowest_difference([1.0, 1.0], [2.0, 2.0, 2.0]) is None
    assert lowest_difference([1.0, 1.1, 1.2], [2.0, 2.1, 2.2]) == pytest.approx(0.8)


def test_ten_percent_is_found_and_noise_is_none() -> None:
    """Repeats that vary by 2 %: within 5 % allowed, a regression of 10 % is found in 95 of 100 and none invented in 100."""
    from sdk.config import Gate
    from sdk.release.gate.compare import show_ms
    from sdk.release.gate.measured import _compared

    allowed, noise = Gate().latency_p50, random.Random(0)

    def repeats(centre: float) -> list[float]:
        return [centre * noise.gauss(1, 0.02) for _ in range(5)]

    def failed(factor: float) -> int:
        verdicts = [_compared("latency_p50", repeats(10), repeats(10 * factor), allowed, show_ms).verdict for _ in range(400)]
        return verdicts.count("failed")

    assert failed(1.0) <= 4
    assert failed(1.10) >= 380


@pytest.mark.parametrize("origin", ["emulator", "device"])
def test_numbers_of_another_place_are_unjudged_and_fail_a_limit(
    origin: str, baseline: Path, checked: Any, gate: Any, tmp_path: Path
) -> None:
    check = str(checked(baseline, FLAT, [1] * 5, origin=origin))
    code, lines = gate(baseline, baseline, "--check", check, "--baseline-check", check)
    assert code == 0 and line(lines, "latency_p90")["verdict"] == "unjudged"
    project = tmp_path / "sdk.yaml"
    project.write_text("gate: {max_latency_p90: 30ms}")
    code, lines = gate(baseline, baseline, "--check", check, "--project", str(project))
    assert code == 1 and line(lines, "latency_p90")["verdict"] == "failed"
    assert "says nothing of the host" in line(lines, "latency_p90")["message"]


def test_a_host_number_never_passes_for_a_phone(baseline: Path, resealed: Any, checked: Any, gate: Any, tmp_path: Path) -> None:
    phone = resealed(baseline, device="pixel8")
    (tmp_path / "sdk.yaml").write_text("gate: {max_latency_p50: 30ms}")
    code, lines = gate(phone, phone, "--check", str(checked(phone, FLAT, [1] * 5)), "--project", str(tmp_path / "sdk.yaml"))
    assert code == 1 and "measured on the host, which says nothing of the device" in line(lines, "latency_p50")["message"]


def test_a_limit_without_a_check_fails(baseline: Path, gate: Any, tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text("gate: {max_peak_memory: 3MB}")
    code, lines = gate(baseline, baseline, "--project", str(tmp_path / "sdk.yaml"))
    assert code == 1 and "no check result was given" in line(lines, "peak_memory")["message"]


def test_limits_are_judged(baseline: Path, checked: Any, gate: Any, tmp_path: Path) -> None:
    (tmp_path / "sdk.yaml").write_text("gate: {max_latency_p50: 0.9ms, max_latency_p90: 2ms, max_peak_memory: 3MB}")
    code, lines = gate(baseline, baseline, "--check", str(checked(baseline, FLAT, [2_000_000] * 5)),
                       "--project", str(tmp_path / "sdk.yaml"))  # fmt: skip
    assert code == 1
    assert line(lines, "latency_p50")["message"] == "latency_p50 1 ms is above max_latency_p50 0.9 ms"
    assert line(lines, "latency_p90")["verdict"] == "unjudged", "there is no baseline to compare with"


def test_checks_of_two_phones_are_not_compared(baseline: Path, checked: Any, gate: Any) -> None:
    one, other = checked(baseline, FLAT, [1] * 5), checked(baseline, FLAT, [1] * 5, phone="Pixel 6")
    _, lines = gate(baseline, baseline, "--check", str(one), "--baseline-check", str(other))
    assert "ran on other devices" in line(lines, "latency_p50")["message"]


def test_a_check_of_another_bundle_is_refused(workshop: Any, baseline: Path, checked: Any, capsys: Any) -> None:
    from sdk.cli.main import run

    other = workshop("other", "--max-size", "12kB")
    assert run(["gate", str(baseline), "--baseline", str(baseline), "--check", str(checked(other, FLAT, [1] * 5))]) == 2
    assert "is not that of" in capsys.readouterr().err


def test_a_phone_that_the_bundle_is_not_for_passes_nothing(
    baseline: Path, resealed: Any, checked: Any, gate: Any, tmp_path: Path
) -> None:
    phone = resealed(baseline, device="pixel8")
    (tmp_path / "sdk.yaml").write_text("gate: {max_latency_p50: 30ms}")
    check = checked(phone, FLAT, [1] * 5, origin="device")
    check.write_text(json.dumps(json.loads(check.read_text()) | {"other_device": "1 is google/husky"}))
    code, lines = gate(phone, phone, "--check", str(check), "--project", str(tmp_path / "sdk.yaml"))
    assert code == 1 and "measured on another device: 1 is google/husky" in line(lines, "latency_p50")["message"]
