"""A file of published latencies of one's own: what is no latency is told and left out, what lacks a column is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.published import rows

HEAD = "device,runtime,model,component,precision,metric,value"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model but `unknown` is a layer."""
    layer = (lambda: torch.nn.Linear(4, 4), lambda: {"input": torch.empty(1, 4)})
    monkeypatch.setattr(rows, "builder", lambda model, component: None if model == "unknown" else (model, layer))


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "own.csv"
    path.write_text("\n".join(("\ufeff" + head, *lines)) + "\n", encoding="utf-8")
    return path


def test_lines_without_a_latency_are_left_out(tmp_path: Path, capsys: Any) -> None:
    good = [f"d{i},tflite/cpu,m{i},,float,latency_ms,{i + 1}" for i in range(3)]
    bad = [f"d0,tflite/cpu,m0,,float,latency_ms,{value}" for value in ("n/a", "-3", "", "0", "inf")]
    other = ["d0,tflite/cpu,unknown,,float,latency_ms,9", "d0,tflite/cpu,m0,,float,tokens,9"]
    found = rows.read(written(tmp_path, *good, *bad, *other))
    assert [row.milliseconds for row in found] == [1.0, 2.0, 3.0]
    told = capsys.readouterr().err
    assert "own.csv:5: value 'n/a' is no latency: left out" in told and told.count("left out") == len(bad)
    assert "3 of 4 rows, 3 architectures, 3 devices" in told


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no column precision, metric, value"):
        rows.read(written(tmp_path, head="device,runtime,model,component"))
    with pytest.raises(ValueError, match="3 devices are the least"):
        rows.read(written(tmp_path, *(f"one,tflite/cpu,m{i},,float,latency_ms,1" for i in range(4))))
