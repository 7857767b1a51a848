"""Checks in a row with faults drawn at random: each ends in its time with a typed error, and nothing at all is left."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_adb import SERIAL, FakeAdb

from sdk.bundles import open_bundle
from sdk.check import CheckRequest, check_bundle, checking, protocols
from sdk.check.runners import adb_link, remote
from sdk.errors import CheckFailed, Missing, SdkError
from sdk.progress import SilentReporter

pytest.importorskip("adbutils", reason="adbutils is not installed: pip install 'snugfit[adb]'")

pytestmark = pytest.mark.slow

CHECKS = 60
"""Takes most of a minute; docs/check.md tells what 200 found."""
SEED = 5
LONGEST = 20.0
"""Seconds for one check whose every call may take one second; they are few dozen, and most faults end it at once."""
EVERYWHERE = ("close", "hang", "garbage", "vanish", "kill server")
STAGES = {
    "devices": EVERYWHERE, "transport": EVERYWHERE, "facts": EVERYWHERE, "hold": EVERYWHERE, "environment": EVERYWHERE,
    "hashes": EVERYWHERE, "release": EVERYWHERE, "run": (*EVERYWHERE, "drip"),
    "push": (*EVERYWHERE, "fail", "corrupt", "short"), "pull": (*EVERYWHERE, "fail", "short"),
}  # fmt: skip
TOLD = "echo snugfit-run 1; echo runtime fake 1; echo load_ns 9; echo first_ns 7; echo sample_ns 5 5 5 5 5"
ENDS = (
    "kill -9 $$", "kill -11 $$", "kill -14 $$", "exit 0", "echo sample_ns 12x", "echo error no", "sleep 30 & sleep 30",
    "rm output*", "echo end",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """One check: what the server does at which time that a stage is reached, and the program's last line."""

    faults: dict[str, tuple[int, str]]
    last: str


def draw(source: random.Random) -> Drawn:
    """One fault of the connection or two, or of the program alone."""
    faults = {}
    for _ in range(source.choice((0, 1, 1, 1, 2))):
        stage = source.choice(sorted(STAGES))
        most = {"push": 3, "transport": 9, "devices": 9, "environment": 2, "run": 2, "pull": 2}.get(stage, 1)
        faults[stage] = (source.randint(1, most), source.choice(STAGES[stage]))
    return Drawn(faults, "echo end" if faults else source.choice(ENDS))


def program(folder: Path, bundle: Path, last: str) -> Path:
    """A program of the user's own that answers with the recorded output, and then does as `last` says."""
    _, outputs = open_bundle(bundle).reference
    (folder / "output").write_bytes(outputs[0].tobytes())
    shape = "x".join(map(str, outputs[0].shape))
    output = f"cp {folder}/output output_000.bin; echo output output_000.bin float32 {shape}"
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{TOLD}\n{output}\n{last}\necho end\n")
    return path


def attempt(request: CheckRequest) -> str:
    """The name of the error that it ended with, or an empty text; anything but an error of the SDK passes through."""
    try:
        assert check_bundle(request, SilentReporter()).relative_error.value == 0
    except SdkError as error:
        assert isinstance(error, Missing | CheckFailed), error
        assert error.exit_code == (1 if isinstance(error, CheckFailed) else 3)
        return type(error).__name__
    return ""


def soon(what: Callable[[], bool], seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.05)
    return what()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second for each call, and two repeats; what this side writes for a moment lies in a folder of its own."""
    for module, name in ((remote, "ANSWER"), (remote, "TRANSFER"), (remote, "GRACE"), (adb_link, "SHORT")):
        monkeypatch.setattr(module, name, 1.0)
    monkeypatch.setattr(checking, "SETUP", 3.0)
    monkeypatch.setitem(protocols.PROTOCOLS, "quick", replace(protocols.PROTOCOLS["quick"], repeats=2))
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))


@pytest.mark.usefixtures("short")
def test_checks_in_a_row_with_random_faults_leave_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, threads, source = len(os.listdir("/proc/self/fd")), threading.active_count(), random.Random(SEED)
    phones, ends = [], Counter[str]()
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    for number in range(CHECKS):
        drawn, folder = draw(source), tmp_path / f"{number}"
        (folder / "phone").mkdir(parents=True)
        phone = FakeAdb(folder / "phone", {SERIAL: "device"}, drawn.faults)
        phones.append(phone)
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(phone.port))
        started = time.monotonic()
        ends[attempt(CheckRequest(bundle, on="adb", program=program(folder, bundle, drawn.last), deadline=1.0))] += 1
        assert time.monotonic() - started < LONGEST, drawn
    assert soon(lambda: not any(list(phone.sandbox.iterdir()) for phone in phones)), "every phone is clean"
    assert soon(lambda: not any(phone.alive() for phone in phones)), [phone.alive() for phone in phones]
    for phone in phones:
        phone.stop()
    assert soon(lambda: len(os.listdir("/proc/self/fd")) <= files), "no file or socket is left open"
    assert soon(lambda: threading.active_count() <= threads), threading.enumerate()
    assert not list((tmp_path / "here").iterdir()), "nothing temporary is left here"
    assert {"", "DeviceLost", "DeviceUnfit", "RunnerFailed"} <= set(ends), ends
