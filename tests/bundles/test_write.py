"""A bundle is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from sdk.bundles import Kind, check_writable, is_bundle, write_bundle
from sdk.bundles import exchange as exchange_module
from sdk.bundles import stops as stops_module
from sdk.bundles import write as write_module
from sdk.errors import BadInput, CheckFailed


def fill(text: str):
    def write(folder: Path) -> None:
        (folder / "manifest.json").write_text(text)
        (folder / "plan.yaml").write_text(text)
        (folder / "model.bin").write_text(text)

    return write


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_bundle_appears_whole_with_its_parents(tmp_path: Path) -> None:
    out = tmp_path / "dist" / "deep" / "app"
    write_bundle(out, fill("one"))
    assert contents(out) == {"manifest.json", "plan.yaml", "model.bin"}
    assert contents(out.parent) == {"app"}


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_existing_bundle_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    if not can_exchange:
        monkeypatch.setattr(write_module, "exchange", lambda one, other: False)
    out = tmp_path / "app"
    write_bundle(out, fill("one"))
    write_bundle(out, fill("two"))
    assert (out / "model.bin").read_text() == "two"
    assert contents(tmp_path) == {"app"}


def test_exchange_swaps_or_says_that_it_cannot(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if exchange_module.exchange(tmp_path / "one", tmp_path / "two"):
        assert contents(tmp_path / "one") == {"two"}
    with pytest.raises(OSError, match="No such file"):
        exchange_module.exchange(tmp_path / "one", tmp_path / "missing")


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    write_bundle(tmp_path / "app", fill("one"))
    assert is_bundle(tmp_path / "app")


def test_a_link_to_a_bundle_is_followed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "real", fill("one"))
    (tmp_path / "link").symlink_to("real")
    write_bundle(tmp_path / "link", fill("two"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "model.bin").read_text() == "two"


def test_what_is_not_a_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("cat")
    (tmp_path / "file").write_text("text")
    for name, words in (("photos", "not a bundle"), ("file", "is a file"), ("file/below", "cannot be written")):
        for call in (check_writable, lambda out: write_bundle(out, fill("x"))):
            with pytest.raises(BadInput, match=words):
                call(tmp_path / name)
    assert contents(tmp_path) == {"photos", "file"}
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "cat"


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), FileNotFoundError(2, "none", "x")])
def test_nothing_is_left_when_filling_fails(tmp_path: Path, error: BaseException) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_bundle(tmp_path / "new" / "app", broken)
    assert contents(tmp_path) == set()
    write_bundle(tmp_path / "app", fill("old"))
    with pytest.raises(type(error)):
        write_bundle(tmp_path / "app", broken)
    assert (tmp_path / "app" / "model.bin").read_text() == "old"


def test_an_incomplete_bundle_is_not_put_in_place(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="not complete"):
        write_bundle(tmp_path / "app", lambda folder: None)
    assert contents(tmp_path) == set()


FULL = (OSError(28, "No space left on device"), RuntimeError("I/O: No space left on device (os error 28)"))


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_is_one_sentence(tmp_path: Path, error: Exception) -> None:
    def full(folder: Path) -> None:
        raise error

    with pytest.raises(BadInput, match="the disk is full"):
        write_bundle(tmp_path / "app", full)
    assert contents(tmp_path) == set()


def test_check_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "c")
    assert contents(tmp_path) == set()


def test_temporaries_of_dead_processes_are_removed_and_of_live_ones_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = tmp_path / f".app.sdk-tmp-{dead.pid}-1"
    stale.mkdir()
    (stale / "half").touch()
    live = tmp_path / f".app.sdk-tmp-{os.getpid()}-2"
    live.mkdir()
    other = tmp_path / f".other.sdk-tmp-{dead.pid}-3"
    other.mkdir()
    write_bundle(tmp_path / "app", fill("one"))
    assert contents(tmp_path) == {"app", live.name, other.name}


def test_a_bundle_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    aside = tmp_path / f".app.sdk-tmp-{dead.pid}-1-old"
    write_bundle(tmp_path / "app", fill("old"))
    (tmp_path / "app").rename(aside)
    check_writable(tmp_path / "app")
    assert (tmp_path / "app" / "model.bin").read_text() == "old"


WRITER = """
import sys, time
from pathlib import Path
from sdk.bundles import write_bundle
def fill(folder):
    for name in ("manifest.json", "plan.yaml", "model.bin"):
        (folder / name).write_text(text)
        time.sleep(0.002)
print("ready", flush=True)
for i in range(10**6):
    text = str(i)
    write_bundle(Path(sys.argv[1]), fill)
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_whenever_the_writer_is_stopped_the_bundle_is_whole(tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "app"
    for i in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        time.sleep(0.004 + 0.0037 * i)
        writer.send_signal(stop)
        writer.wait(60)
        if out.exists():
            assert len({(out / name).read_text() for name in ("manifest.json", "plan.yaml", "model.bin")}) == 1
        if stop == signal.SIGINT:
            assert contents(tmp_path) <= {"app"}
    write_bundle(out, fill("last"))
    assert contents(tmp_path) == {"app"}


def stopped_at(event: int, out: Path) -> bool:
    """Write a bundle, with Ctrl-C at the given step of the writer's own code; say whether there was such a step."""
    left = event

    def step(frame: FrameType, kind: str, _: object) -> Callable | None:
        nonlocal left
        if frame.f_code.co_filename not in (write_module.__file__, stops_module.__file__, contextlib.__file__):
            return None
        frame.f_trace_opcodes = True
        if kind == "opcode":
            left -= 1
            if left == 0:
                signal.raise_signal(signal.SIGINT)
        return step

    sys.settrace(step)
    try:
        write_bundle(out, fill("new"))
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return left <= 0


@pytest.mark.parametrize("first", range(1, 6))
def test_stopped_at_any_step_the_writer_leaves_nothing_but_a_whole_bundle(tmp_path: Path, first: int) -> None:
    before = signal.getsignal(signal.SIGINT)
    whole = ["deep", "deep/app", "deep/app/manifest.json", "deep/app/model.bin", "deep/app/plan.yaml"]
    event = first
    while stopped_at(event, tmp_path / "deep" / "app"):
        left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
        assert left in ([], whole), event
        assert signal.getsignal(signal.SIGINT) == before
        shutil.rmtree(tmp_path / "deep", ignore_errors=True)
        event += 5
    assert event > 500


def test_another_kind_of_folder_is_written_by_the_same_rules(tmp_path):
    fleet = Kind("fleet", ("fleet.json",))
    write_bundle(tmp_path / "all", lambda folder: (folder / "fleet.json").write_text("{}"), fleet)
    write_bundle(tmp_path / "all", lambda folder: (folder / "fleet.json").write_text("[]"), fleet)
    assert (tmp_path / "all" / "fleet.json").read_text() == "[]"
    with pytest.raises(BadInput, match="not a bundle"):
        write_bundle(tmp_path / "all", fill("one"))
    with pytest.raises(CheckFailed, match=r"fleet is not complete: fleet\.json"):
        write_bundle(tmp_path / "new", fill("one"), fleet)
