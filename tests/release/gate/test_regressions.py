"""Every rule of the gate finds its kind of regression in a line of its own, and identical rebuilds raise no alarm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdk.bundles import open_bundle
from sdk.release.gate import all_rules

pytestmark = pytest.mark.usefixtures("quiet")

STEADY = [[1.0 + 0.001 * (i + j) for i in range(9)] for j in range(5)]
PEAKS = [1_000_000 + 100 * j for j in range(5)]


def slower(by: float, of: slice) -> list[list[float]]:
    return [[ms * (by if i in range(9)[of] else 1) for i, ms in enumerate(repeat)] for repeat in STEADY]


def figures(bundle: Path, **values: float) -> dict[str, Any]:
    found = open_bundle(bundle).manifest.measured.model_dump()
    return {name: figure | ({"value": values[name]} if name in values else {}) for name, figure in found.items()}


SMALLER: dict[str, Any] = {"flags": ("--max-size", "10kB")}
UNCALIBRATED: dict[str, Any] = {"edit": {"calibration: model.py:samples\n": ""}}
REBUILT: dict[str, dict[str, Any]] = {
    "size": {"flags": ("--max-size", "40kB")},
    "loss": SMALLER,
    "metric": SMALLER,
    "schemes": SMALLER,
    "outside_ops": {"edit": {"torch.relu(self.head(y))": "nn.functional.gelu(self.head(y))"}},
    "interface": {"edit": {"def forward(self, x):": "def forward(self, image):\n        x = image"}},
    "device": {"flags": ("--device", "pixel8")},
    "min_os": {"flags": ("--min-os", "15")},
    "calibration": UNCALIBRATED,
    "notes": UNCALIBRATED,
}
"""Rule → how the app is packaged so that the rule has something to find."""

RESEALED: dict[str, Callable[[Path], dict[str, Any]]] = {
    "tools": lambda bundle: {"tool_versions": open_bundle(bundle).manifest.tool_versions | {"torch": "2.14.0"}},
    "target": lambda bundle: {"target": "tflite"},
    "relative_error": lambda bundle: {"measured": figures(bundle, relative_error=0.02)},
}
"""Rule → what of the manifest another toolchain would have written."""

CHECKED: dict[str, tuple[list[list[float]], list[int]]] = {
    "latency_p50": (slower(1.08, slice(0, 8)), PEAKS),
    "latency_p90": (slower(1.25, slice(8, 9)), PEAKS),
    "peak_memory": (STEADY, [round(peak * 1.06) for peak in PEAKS]),
}
"""Rule → the samples of a check that regressed."""

WARNS = {"tools", "schemes", "notes"}


def test_every_rule_has_a_regression_here() -> None:
    assert {*REBUILT, *RESEALED, *CHECKED} == {rule.name for rule in all_rules()}
    assert len(all_rules()) >= 12


def found(rule: str, code: int, lines: list[dict[str, Any]]) -> dict[str, Any]:
    line = next(line for line in lines if line["rule"] == rule)
    assert line["verdict"] == ("warned" if rule in WARNS else "failed"), line
    assert code == (1 if any(line["verdict"] == "failed" for line in lines) else 0)
    assert rule in WARNS or code == 1
    return line


@pytest.mark.parametrize("rule", REBUILT)
def test_a_rebuild_that_regressed_is_found(rule: str, workshop: Any, baseline: Path, gate: Any) -> None:
    how = REBUILT[rule]
    bundle = workshop(next(name for name in REBUILT if REBUILT[name] is how), *how.get("flags", ()), edit=how.get("edit"))
    code, lines = gate(bundle, baseline)
    found(rule, code, lines)


@pytest.mark.parametrize("rule", RESEALED)
def test_another_toolchain_is_found(rule: str, resealed: Any, baseline: Path, gate: Any) -> None:
    code, lines = gate(resealed(baseline, **RESEALED[rule](baseline)), baseline)
    found(rule, code, lines)
    assert [line["rule"] for line in lines if line["verdict"] in ("failed", "warned")] == [rule]


@pytest.mark.parametrize("rule", CHECKED)
def test_a_slower_or_hungrier_artifact_is_found(rule: str, baseline: Path, checked: Any, gate: Any) -> None:
    before, after = checked(baseline, STEADY, PEAKS), checked(baseline, *CHECKED[rule])
    code, lines = gate(baseline, baseline, "--check", str(after), "--baseline-check", str(before))
    found(rule, code, lines)
    assert [line["rule"] for line in lines if line["verdict"] in ("failed", "warned")] == [rule]


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_identical_rebuilds_raise_no_alarm(times: int, workshop: Any, baseline: Path, checked: Any, gate: Any) -> None:
    before = checked(baseline, STEADY, PEAKS)
    for i in range(times):
        bundle = workshop(f"again{i}")
        noisy = [[ms * (1 + 0.01 * ((7 * i + j) % 3)) for ms in repeat] for j, repeat in enumerate(STEADY)]
        after = checked(bundle, noisy, PEAKS)
        code, lines = gate(bundle, baseline, "--check", str(after), "--baseline-check", str(before))
        assert code == 0
        assert {line["verdict"] for line in lines} == {"passed"}, lines


@pytest.mark.slow
def test_identical_rebuilds_for_a_phone_raise_no_alarm(app: Path, gate: Any) -> None:
    for i in range(3):
        command = [sys.executable, "-m", "sdk.cli", "package", "--device", "pixel8", "--target", "tflite", "--out", f"made{i}"]
        env = {**os.environ, "SDK_CACHE": str(app / f"cache{i}")}
        assert subprocess.run(command, cwd=app, env=env, capture_output=True).returncode == 0
        code, lines = gate(app / f"made{i}", app / "made0")
        assert code == 0
        assert {line["rule"] for line in lines if line["verdict"] != "passed"} == {"latency_p50", "latency_p90", "peak_memory"}
