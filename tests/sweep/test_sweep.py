"""A sweep from the outside: equal bundles whoever makes them, nothing lost or made twice whoever dies."""

from __future__ import annotations

import fcntl
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from sdk.cli.main import run

from .conftest import Sweeps, until, workers_of

pytestmark = pytest.mark.usefixtures("quiet")

MATRIX = ("-m", "model.py:net", "--calibration", "model.py:samples", "-d", "pixel8,host,iphone15pro", "-t", "null",
          "--max-size", "30kB", "--max-size", "40kB", "--uniform", "q8")  # fmt: skip
"""Nine cells of three plans."""


def test_every_cell_is_the_bundle_of_its_command_and_is_not_made_again(sweeps: Sweeps) -> None:
    report = sweeps.run(*MATRIX, "--jobs", "2")
    assert [row["status"] for row in report["rows"]] == ["built"] * 9
    assert len(sweeps.lowered()) == 3, "each distinct plan was lowered once"
    assert run(["package", "model.py:net", "--device", "host", "--target", "null", "--max-size", "30000",
                "--calibration", "model.py:samples", "--out", "alone"]) == 0  # fmt: skip
    swept, alone = sweeps.app / "swept" / "net-host-null-size-30000", sweeps.app / "alone"
    for path in alone.iterdir():
        if path.name != "manifest.json":  # whose command is that of pytest
            assert path.read_bytes() == (swept / path.name).read_bytes()
    files, places = sweeps.files(), {p.name: p.stat().st_ino for p in (sweeps.app / "swept").iterdir() if p.is_dir()}
    again = sweeps.run(*MATRIX, "--jobs", "1")
    assert again == report and sweeps.files() == files
    assert {p.name: p.stat().st_ino for p in (sweeps.app / "swept").iterdir() if p.is_dir()} == places


def test_a_failed_cell_is_a_row_with_its_counter_offer_and_does_not_end_the_sweep(sweeps: Sweeps) -> None:
    matrix = ("-m", "model.py:net", "-m", "absent.py:net", "-d", "host,iphone15pro", "-t", "null,tflite",
              "--max-size", "2kB", "--max-size", "40kB", "--jobs", "2")  # fmt: skip
    report = sweeps.run(*matrix, code=1)
    rows = {row["cell"]: row for row in report["rows"]}
    small = rows["model-net-host-null-size-2000"]
    assert small["status"] == "infeasible" and small["counter_offer"]["binding"] == "max_size" and "max_size" in small["error"]
    assert rows["model-net-host-null-size-40000"]["status"] == "built"
    assert "there is no file absent.py" in rows["absent-net-host-null-size-40000"]["error"]
    assert "does not run on iphone15pro" in rows["model-net-iphone15pro-tflite-size-40000"]["error"]
    assert report["exit_code"] == 1


@pytest.mark.slow
def test_damage_and_changed_models_are_made_again(sweeps: Sweeps) -> None:
    matrix = (*MATRIX[:4], "-d", "host", *MATRIX[6:], "--jobs", "1")
    first = sweeps.run(*matrix)
    artifact = sweeps.app / "swept" / "net-host-null-q8" / "model.null"
    artifact.write_bytes(b"?")
    shutil.rmtree(sweeps.app / "swept" / "net-host-null-size-30000")
    assert sweeps.run(*matrix) == first
    assert run(["verify", str(artifact.parent)]) == 0
    model = sweeps.app / "model.py"
    model.write_text(model.read_text().replace("manual_seed(0)", "manual_seed(7)"))
    second = sweeps.run(*matrix)
    assert all(a["sha256"] != b["sha256"] for a, b in zip(first["rows"], second["rows"], strict=True))


def test_a_killed_worker_costs_nothing_but_time(sweeps: Sweeps) -> None:
    started = sweeps.start(*MATRIX, "--jobs", "2")
    victim = until(lambda: sweeps.lowered() and workers_of(started))[0]
    victim.send_signal(signal.SIGKILL)
    report = sweeps.finish(started)
    assert [row["status"] for row in report["rows"]] == ["built"] * 9
    assert sweeps.run(*MATRIX, "--jobs", "1", out="whole")["rows"] == report["rows"]
    assert sweeps.files("whole") == sweeps.files()


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_and_the_next_run_goes_on(sweeps: Sweeps) -> None:
    started = sweeps.start(*MATRIX, "--jobs", "2")
    until(sweeps.lowered)
    workers = workers_of(started)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))
    before = sweeps.lowered()
    report = sweeps.run(*MATRIX, "--jobs", "2")
    assert [row["status"] for row in report["rows"]] == ["built"] * 9
    after = sweeps.lowered()
    assert len(after) == 3 and before.items() <= after.items(), "what was lowered before the kill was not lowered again"
    assert sweeps.run(*MATRIX, "--jobs", "1", out="whole", cache=sweeps.cache.parent / "other")["rows"] == report["rows"]
    assert sweeps.files("whole") == sweeps.files()
    assert not [path for path in (sweeps.app / "swept").iterdir() if path.name[0] == "." and path.name != ".lock"]


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_whole_bundles_and_keeps_others_out_meanwhile(sweeps: Sweeps) -> None:
    started = sweeps.start(*MATRIX, "--jobs", "1")
    until((sweeps.app / "swept" / "sweep.json").exists)
    started.send_signal(signal.SIGINT)
    assert started.wait() == 130
    out = sweeps.app / "swept"
    for bundle in (path for path in out.iterdir() if path.is_dir() and path.name[0] != "."):
        assert run(["verify", str(bundle)]) == 0
    with (out / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another sweep is writing there" in sweeps.run(*MATRIX, code=2)["error"]
    assert [row["status"] for row in sweeps.run(*MATRIX, "--jobs", "1")["rows"]] == ["built"] * 9


@pytest.mark.slow
def test_eight_sweeps_on_one_cache_corrupt_nothing_and_lower_nothing_twice(sweeps: Sweeps) -> None:
    running = [sweeps.start(*MATRIX, "--jobs", "1", out=f"swept{number}") for number in range(8)]
    reports = [sweeps.finish(each) for each in running]
    assert all(report["rows"] == reports[0]["rows"] for report in reports)
    assert all(sweeps.files(f"swept{number}") == sweeps.files("swept0") for number in range(8))
    before = sweeps.lowered()
    assert len(before) == 3
    sweeps.run(*MATRIX, "--jobs", "1", out="last")
    assert sweeps.lowered() == before and sweeps.files("last") == sweeps.files("swept0")


@pytest.mark.slow
def test_ray_makes_the_same_bundles(sweeps: Sweeps, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    local = sweeps.run(*MATRIX, "--jobs", "2", out="local")
    ray = sweeps.run(*MATRIX, "--jobs", "2", "--on", "ray", out="ray", cache=tmp_path / "other")
    assert ray["rows"] == local["rows"] and sweeps.files("ray") == sweeps.files("local")
