"""Every fault of a phone that can be played: its error, its exit code, within its deadline, and a clean device after it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_adb import SERIAL, FakeAdb

from sdk.bundles import open_bundle
from sdk.check import CheckRequest, check_bundle, checking
from sdk.check.runners import adb_link, remote
from sdk.devices import validate_file
from sdk.devices.writing import profile_text
from sdk.errors import CheckFailed, DeviceBusy, DeviceLost, DeviceUnfit, Missing, RunnerFailed, SdkError
from sdk.probing import ProbeRequest, probe_device
from sdk.progress import SilentReporter

pytest.importorskip("adbutils", reason="adbutils is not installed: pip install 'snugfit[adb]'")

ONE = {SERIAL: "device"}
TOLD = """echo snugfit-run 1; echo runtime fake 1; echo base_bytes 1000; echo load_ns 9000000; echo first_ns 7000000
echo peak_bytes 4000000; echo sample_ns 5000000 5100000 5200000 5300000 5400000; echo stride 1"""

SHORTENED = {
    "answer": (remote, "ANSWER"), "transfer": (remote, "TRANSFER"), "server": (adb_link, "SHORT"), "run": (remote, "GRACE"),
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What is played, and how the check has to end; `runner` replaces the last lines of the phone's program."""

    name: str
    error: type[SdkError] | None
    words: str = ""
    faults: Mapping[str, Any] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=lambda: ONE)
    on: str = "adb"
    runner: str | None = None
    short: str = ""
    """Which deadline is made short: `answer`, `transfer`, `run` or `server`."""


FAULTS = [
    Fault("nothing", None),
    Fault("named", None, on=f"adb:{SERIAL}"),
    Fault("no device", Missing, "knows no device", devices={}),
    Fault("two devices", Missing, "name one with --on adb:SERIAL", devices={SERIAL: "device", "B": "device"}),
    Fault("two devices, one named", None, devices={SERIAL: "device", "B": "offline"}, on=f"adb:{SERIAL}"),
    Fault("another serial", Missing, "no device GONE", on="adb:GONE"),
    Fault("offline", DeviceUnfit, "is offline: connect it again", devices={SERIAL: "offline"}),
    Fault("unauthorized", DeviceUnfit, "allow this computer", devices={SERIAL: "unauthorized"}),
    Fault("in recovery", DeviceUnfit, "start its system", devices={SERIAL: "recovery"}),
    Fault("server hangs", DeviceLost, "did not answer within", {"devices": "hang"}, short="server"),
    Fault("server closes", DeviceLost, "went away", {"devices": "close"}),
    Fault("server speaks garbage", DeviceLost, "went away", {"devices": "garbage"}),
    Fault("lost before the first command", DeviceLost, "went away", {"transport": "close"}),
    Fault("lost while it is asked", DeviceLost, "went away", {"facts": "close"}),
    Fault("hangs while it is asked", DeviceLost, "did not answer within", {"facts": "hang"}, short="answer"),
    Fault("garbage instead of an answer", DeviceLost, "FAKE0001", {"facts": "garbage"}),
    Fault("in use", DeviceBusy, "in use by another check", {"hold": b"busy\n"}),
    Fault("lost while it is taken", DeviceLost, "went away", {"hold": "close"}, short="run"),
    Fault("not writable", DeviceUnfit, "cannot be made", {"hold": b"unwritable\n"}),
    Fault("no space is left", DeviceUnfit, "has no space", {"facts": b"machine aarch64\nroot /tmp\nfree a 9 8 100 1% /\n"}),
    Fault("push is refused", DeviceUnfit, "cannot be written there", {"push": "fail"}),
    Fault("push is cut", DeviceLost, "went away", {"push": "close"}),
    Fault("push hangs", DeviceLost, "did not answer within", {"push": "hang"}, short="transfer"),
    Fault("push arrives changed", DeviceUnfit, "did not arrive", {"push": "corrupt"}),
    Fault("push arrives short", DeviceUnfit, "did not arrive", {"push": "short"}),
    Fault("hot", DeviceUnfit, "is hot", {"environment": b"thermal 4\n"}),
    Fault("lost in the middle of a run", DeviceLost, "went away", {"run": "close"}),
    Fault("lost for good in the middle of a run", DeviceLost, "went away", {"run": "vanish"}, short="run"),
    Fault("server killed in the middle of a run", DeviceLost, "went away", {"run": "kill server"}, short="run"),
    Fault("run hangs", DeviceLost, "did not answer within", {"run": "hang"}, short="run"),
    Fault("run drips for ever", DeviceLost, "did not answer within", {"run": "drip"}, short="run"),
    Fault("runner is killed", RunnerFailed, "memory runs short", runner="kill -9 $$"),
    Fault("runner crashes", RunnerFailed, "stopped in the middle (exit code 139)", runner="kill -11 $$"),
    Fault("runner reaches its deadline", RunnerFailed, "deadline on the device", runner="kill -14 $$"),
    Fault("runner ends early", RunnerFailed, "stopped in the middle (exit code 0)", runner="exit 0"),
    Fault("runner writes garbage", RunnerFailed, "none of the transcript", runner="echo sample_ns 12x; echo end"),
    Fault("runner lacks its runtime", DeviceUnfit, "no runtime here", runner="echo error no runtime here"),
    Fault("runner leaves no output", RunnerFailed, "left no output_000.bin", runner="rm output_000.bin; echo end"),
    Fault("runner names a file of others", RunnerFailed, "not in its folder", runner="echo output ../x float32 1; echo end"),
    Fault("pull is cut", DeviceLost, "went away", {"pull": "close"}),
    Fault("pull arrives short", RunnerFailed, "cannot be read", {"pull": "short"}),
    Fault("release is cut", None, "", {"release": "close"}),
]  # fmt: skip


@pytest.fixture
def program(bundle: Path, tmp_path: Path) -> Path:
    """A program of the user's own that answers with the recorded output."""
    _, outputs = open_bundle(bundle).reference
    octal = "".join(f"\\{byte:03o}" for byte in outputs[0].tobytes())
    shape = "x".join(map(str, outputs[0].shape))
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{TOLD}\nprintf '{octal}' > output_000.bin\necho output output_000.bin float32 {shape}\n")
    return path


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[FakeAdb]:
    fault: Fault = getattr(request, "param", FAULTS[0])
    (tmp_path / "phone").mkdir()
    fake = FakeAdb(tmp_path / "phone", fault.devices, fault.faults)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(fake.port))
    monkeypatch.setenv("ANDROID_ADB_SERVER_HOST", "127.0.0.1")
    yield fake
    fake.stop()


def request_of(fault: Fault, bundle: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> CheckRequest:
    program.write_text(program.read_text() + (fault.runner or "echo end") + "\n")
    if fault.short:
        monkeypatch.setattr(*SHORTENED[fault.short], 1.0)
    if fault.short == "run":
        monkeypatch.setattr(checking, "SETUP", 4.0)
    return CheckRequest(bundle, on=fault.on, program=program, deadline=1.0 if fault.short == "run" else 60.0)


def soon(what: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(what())


@pytest.mark.parametrize(("phone", "fault"), [(f, f) for f in FAULTS], ids=[f.name for f in FAULTS], indirect=["phone"])
def test_each_fault_ends_with_its_error_and_a_clean_device(
    phone: FakeAdb, fault: Fault, bundle: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    request = request_of(fault, bundle, program, monkeypatch)
    started = time.monotonic()
    if fault.error is None:
        assert check_bundle(request, SilentReporter()).relative_error.value == 0
    else:
        with pytest.raises(fault.error) as caught:
            check_bundle(request, SilentReporter())
        assert fault.words in str(caught.value)
        assert caught.value.exit_code == (1 if issubclass(fault.error, CheckFailed) else 3)
    assert time.monotonic() - started < 90
    assert soon(lambda: not list(phone.sandbox.iterdir())), "the phone is clean"
    assert soon(lambda: not phone.alive()), phone.alive()
    phone.stop()
    assert soon(lambda: len(os.listdir("/proc/self/fd")) <= before), "no socket or file is left open"


def test_no_server_is_started_where_none_is(bundle: Path, monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with pytest.raises(Missing, match="run adb start-server"):
        check_bundle(CheckRequest(bundle, on="adb", program=program), SilentReporter())


def test_two_checks_at_once_do_not_share_a_phone(
    phone: FakeAdb, bundle: Path, program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 30\n")
    ended: list[BaseException] = []

    def first() -> None:
        try:
            check_bundle(CheckRequest(bundle, on="adb", program=slow, deadline=5.0), SilentReporter())
        except SdkError as error:
            ended.append(error)

    monkeypatch.setattr(remote, "GRACE", 1.0)
    thread = threading.Thread(target=first)
    thread.start()
    assert soon(lambda: "run" in phone.seen, 60)
    with pytest.raises(DeviceBusy, match="in use by another check"):
        check_bundle(request_of(FAULTS[0], bundle, program, monkeypatch), SilentReporter())
    thread.join(60)
    assert isinstance(ended[0], DeviceLost | RunnerFailed)
    assert soon(lambda: not list(phone.sandbox.iterdir())) and soon(lambda: not phone.alive())


def test_a_folder_whose_janitor_died_is_taken_over(
    phone: FakeAdb, bundle: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = phone.sandbox / "snugfit-check"
    left.mkdir()
    (left / "janitor.pid").write_text("999999999")
    found = check_bundle(request_of(FAULTS[0], bundle, program, monkeypatch), SilentReporter())
    assert found.origin == "emulator" and not list(phone.sandbox.iterdir())


def test_a_phone_without_sha256sum_is_noted(
    phone: FakeAdb, bundle: Path, program: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "uname", "df", "tail", "mkdir", "sleep", "rm", "kill", "tr", "sed"):
        found = next((Path(folder) / name for folder in ("/bin", "/usr/bin") if (Path(folder) / name).exists()), None)
        if found:
            (tools / name).symlink_to(found)
    phone.faults["path"] = tools
    found = check_bundle(request_of(FAULTS[0], bundle, program, monkeypatch), SilentReporter())
    assert any("no sha256sum" in note for note in found.notes)


def test_the_program_that_is_brought_needs_an_abi_that_it_was_built_for(
    phone: FakeAdb, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdk.check.runners.device_program import device_program

    with pytest.raises(DeviceUnfit, match="armeabi-v7a: there is a runner for arm64-v8a and x86_64 only"):
        device_program("armeabi-v7a")
    monkeypatch.setenv("SDK_CACHE", str(phone.sandbox))
    with pytest.raises(Missing, match="run `sdk runner build --abi arm64-v8a`"):
        device_program("arm64-v8a")


def test_a_phone_is_drafted(phone: FakeAdb, program: Path, tmp_path: Path) -> None:
    found = probe_device(ProbeRequest("adb", (), None, program), SilentReporter())
    path = tmp_path / "phone.yaml"
    path.write_text(profile_text(found))
    assert validate_file(path) == found
    assert found.ram is not None
    assert found.kernels == {}
