"""The program for boards keeps its own memory still, and every other sample where there are too many."""

from __future__ import annotations

import _socket
import ctypes
import itertools
import json
import shutil
from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdk.check.programs import local, measure


@pytest.mark.parametrize(("runs", "kept", "stride"), [(7, 7, 1), (8, 4, 2), (15, 4, 4)])
def test_samples_thin_out_where_they_would_not_fit(
    monkeypatch: pytest.MonkeyPatch, runs: int, kept: int, stride: int
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: next(ticks))
    samples = array("q", bytes(8 * 8))
    outputs, found, every, points = measure.timed(lambda given: given, [1], SimpleNamespace(runs=runs, seconds=0), samples)
    assert (outputs, every) == ([1], stride) and len(points) == runs
    assert found == sum(number % stride == 0 for number in range(runs)) == kept
    assert list(samples[:found]) == [1] * found


def test_libraries_that_a_first_run_opens_are_there_before_the_base_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / measure.PACKAGES[0]).mkdir()
    first, second = (Path(shutil.copy(_socket.__file__, tmp_path / measure.PACKAGES[0] / name)) for name in ("a.so", "b.so"))
    opened = SimpleNamespace(run=lambda inputs: ctypes.CDLL(str(first)), runtime="one that opens a library late")
    monkeypatch.setattr(local, "ready_target", lambda name: SimpleNamespace(open=lambda path: opened))
    job = {"target": "none", "artifact": "file", "against": None, "inputs": []}
    local.main(job)
    told = json.loads(capsys.readouterr().out.removeprefix(local.MARK))
    assert str(first) in told["libraries"] and str(second) not in told["libraries"]
    seen: list[str] = []
    monkeypatch.setattr(measure, "measure", lambda *given: seen.extend(measure.libraries()))
    monkeypatch.setattr(local.signal, "alarm", lambda seconds: None)
    local.main({**job, "modules": [], "libraries": [str(second)], "deadline": 1, "runtime": ""})
    assert str(second) in seen
