"""Timing a batch: lists, ramps and loops, and what programs answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdk.check.programs.timing import ramp
from sdk.check.runners.timer import Batch, loop, parse_loop, parse_timings, ramp_name, write_ramps
from sdk.errors import RunnerFailed

BATCH = Batch((Path("a"), Path("b")), (("float32:1x3",), ("int64:4", "float32:1x3")), rounds=2, runs=3, seconds=0.1, deadline=60)


def test_answers_are_read_by_place() -> None:
    text = "runtime LiteRT 2\ntime_ns 0 10 12\ntime_ns 1 20 25\nfailed 2 ValueError no\ntime_ns 0 9 11\nend\n"
    found = parse_timings(text, 3, "exit code 0")
    assert found.runtime == "LiteRT 2"
    assert [each.medians for each in found.each] == [[10, 9], [20], []]


@pytest.mark.parametrize("text", ["", "runtime x\ntime_ns 0 1 2\n", "error no LiteRT interpreter\n"])
def test_a_program_that_did_not_end_is_an_error(text: str) -> None:
    with pytest.raises(RunnerFailed, match="did not end well"):
        parse_timings(text, 1, "exit code 1")


def test_a_loop_over_transcripts_is_read_too() -> None:
    one = "snugfit-run 1\nruntime C 1\nload_ns 1\nfirst_ns 1\nsample_ns 5 7 9\nend\n"
    found = parse_loop(f"artifact 0\n{one}artifact 1\nsnugfit-run 1\nerror no\nartifact 0\n{one}", 2)
    assert [each.medians for each in found.each] == [[7, 7], []]
    with pytest.raises(RunnerFailed, match="none of the artifacts"):
        parse_loop("", 1)


def test_ramps_fill_what_is_asked(tmp_path: Path) -> None:
    assert ramp("int64:2x5").max() < 8
    assert 0 <= ramp("float32:1x70").min() <= ramp("float32:1x70").max() <= 1
    assert ramp("float32:scalar").shape == ()
    files = write_ramps(BATCH, tmp_path)
    assert set(files) == {ramp_name("float32:1x3"), ramp_name("int64:4")}
    assert np.fromfile(files[ramp_name("int64:4")], np.int64).tolist() == [0, 1, 2, 3]


def test_the_loop_names_every_artifact_in_every_round() -> None:
    text = loop("./runner", ["x", "y"], BATCH)
    assert "for r in 0 1" in text
    assert text.count("./runner") == 2
    assert BATCH.lines(["x", "y"]).splitlines() == ["x float32:1x3", "y int64:4 float32:1x3"]
