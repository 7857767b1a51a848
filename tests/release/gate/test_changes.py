"""`sdk diff` of two bundles: every change has its cause, and bytes and loss add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdk.bundles import open_bundle
from sdk.cli.main import run
from sdk.release.changes import BundleDiff, compare_bundles

pytestmark = pytest.mark.usefixtures("quiet")


def checked_sums(found: BundleDiff) -> BundleDiff:
    """Shares by cause, layers and the rest all add up to the artifacts' difference."""
    assert sum(change.bytes for change in found.layers) == sum(share.bytes for share in found.causes)
    assert sum(share.bytes for share in found.causes) + found.rest_bytes == found.bytes
    assert found.loss is not None and found.rest_loss is not None
    assert sum(share.loss for share in found.causes) + found.rest_loss == pytest.approx(found.loss, abs=1e-12)
    assert sum(share.layers for share in found.causes) == len(found.layers)
    return found


def test_a_smaller_budget_is_the_cause(workshop: Callable[..., Path], baseline: Path) -> None:
    other = workshop("loss", "--max-size", "10kB")
    found = checked_sums(compare_bundles(baseline, other))
    assert [(d.cause, d.field, d.old, d.new) for d in found.differences] == [("budget", "budgets.max_size", 30_000, 10_000)]
    assert {change.cause for change in found.layers} == {"budget"}
    assert found.bytes == open_bundle(other).manifest.artifact.bytes - open_bundle(baseline).manifest.artifact.bytes
    back = checked_sums(compare_bundles(other, baseline))
    assert back.bytes == -found.bytes and back.loss == -(found.loss or 0)


def test_another_model_is_the_cause(workshop: Callable[..., Path], baseline: Path) -> None:
    other = workshop("wider", edit={"nn.Linear(64, 10)": "nn.Linear(64, 20)"})
    found = checked_sums(compare_bundles(baseline, other))
    assert {d.cause for d in found.differences} == {"model weights"}
    assert {change.layer: change.cause for change in found.layers}["out"] == "model weights"


def test_without_calibration_the_data_is_the_cause(workshop: Callable[..., Path], baseline: Path) -> None:
    other = workshop("calibration", edit={"calibration: model.py:samples\n": ""})
    found = checked_sums(compare_bundles(baseline, other))
    assert {d.cause for d in found.differences} == {"calibration data"}
    assert {change.cause for change in found.layers} == {"calibration data"}


def test_an_edit_by_hand_is_told_from_the_rest(workshop: Callable[..., Path], baseline: Path, tmp_path: Path) -> None:
    plan = (baseline / "plan.yaml").read_text()
    scheme = next(layer.planned for layer in open_bundle(baseline).manifest.layers if layer.name == "head")
    line = next(line for line in plan.splitlines() if "layer: head" in line)
    edited = tmp_path / "edited.yaml"
    edited.write_text(plan.replace(line, line.replace(f"scheme: {scheme},", "scheme: int4_g32,")))
    found = checked_sums(compare_bundles(baseline, workshop("edited", "--plan", str(edited))))
    assert [(c.layer, c.new, c.cause) for c in found.layers] == [("head", "int4_g32", "edit by hand")]


def test_causes_that_cannot_be_told_apart_are_all_named(
    workshop: Callable[..., Path], baseline: Path, resealed: Callable[..., Path]
) -> None:
    other = resealed(workshop("loss", "--max-size", "10kB"), tool_versions={"torch": "9"})
    found = compare_bundles(baseline, other)
    assert {change.cause for change in found.layers} == {"budget or tool versions"}


def test_json_and_the_table_hold_the_same(
    workshop: Callable[..., Path], baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = workshop("loss", "--max-size", "10kB")
    capsys.readouterr()
    assert run(["diff", str(baseline), str(other), "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert run(["diff", str(baseline), str(other)]) == 0
    shown = capsys.readouterr().out
    assert f"{data['bytes']:+,}" in shown
    for change in data["layers"]:
        assert any(change["layer"] in line and change["cause"] in line for line in shown.splitlines())
    assert not data["same"]
    assert run(["diff", str(baseline), str(baseline)]) == 0
    assert capsys.readouterr().out == "the bundles are the same\n"
