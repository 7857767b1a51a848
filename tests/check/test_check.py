"""`sdk check` from the outside, on no device and on this machine: numbers, origins, verdicts, exit codes, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sdk.check import CheckRequest, check_bundle, protocols, read_result
from sdk.check.runners import local
from sdk.cli.main import run
from sdk.errors import DeviceLost
from sdk.progress import SilentReporter

pytestmark = pytest.mark.usefixtures("quiet")


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("on", "flags", "code", "words"),
    [
        ("null", [], 0, ""),
        ("null", ["--max-latency", "8ms", "--max-memory", "20MB"], 0, ""),
        ("null", ["--max-latency", "4ms"], 1, "max_latency: 5.0"),
        ("null", ["--max-memory", "1MB"], 1, "max_memory: 12.0 MB where 1.00 MB is the limit: failed"),
        ("null:host", [], 0, ""),
        ("null:host", ["--max-latency", "8ms"], 1, "unjudged (measured on this machine"),
        ("null:host", ["--max-latency", "1ms"], 1, "unjudged (measured on this machine"),
        ("null:emulator", ["--max-latency", "8ms"], 1, "unjudged (measured on an emulator"),
        ("null:wrong", [], 1, "outputs: "),
        ("null:unsteady", ["--max-latency", "20ms"], 1, "apart: unstable"),
        ("null:killed", [], 1, "stopped in the middle"),
        ("null:lost", [], 3, "went away"),
        ("null:busy", [], 3, "another check holds the device"),
        ("null:hot", [], 3, "is hot (thermal status severe)"),
        ("null:none", [], 2, "there is no such fault"),
        ("null", ["--ssh-config", "x"], 2, "--on null is not reached by ssh"),
        ("phone", [], 2, "there is no such runner: use adb, local, null, ssh, xcode"),
        ("local:x", [], 2, "this machine has no address"),
        ("null", ["--protocol", "long"], 2, "no protocol is called 'long'"),
        ("null", ["--max-latency", "8"], 2, "is not in milliseconds"),
        ("null", ["--out", "none/x.json"], 2, "cannot be written"),
    ],
)
def test_each_end_has_its_exit_code_and_sentence(
    bundle: Path, capsys: pytest.CaptureFixture[str], on: str, flags: list[str], code: int, words: str
) -> None:
    assert run(["check", str(bundle), "--on", on, "--json", *flags]) == code
    found = data(capsys)
    assert words in found.get("error", "")
    assert found.get("exit_code", 0) == code


def test_this_machine_runs_the_artifact(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(protocols.PROTOCOLS, "quick", replace(protocols.PROTOCOLS["quick"], repeats=1))
    out, junit = tmp_path / "check.json", tmp_path / "check.xml"
    assert run(["check", str(bundle), "--out", str(out), "--junit", str(junit), "--deadline", "600"]) == 0
    found = read_result(out)
    assert found.origin == found.latency.p90_ms.origin == found.repeats[0].origin == "host"
    assert found.verdict == "unjudged" and found.relative_error.value == 0
    assert found.latency.stability == "single" and len(found.repeats[0].samples_ns) == 50
    assert found.latency.p90_interval_ms.coverage is not None
    assert found.peak_memory.value is not None and 0 < found.peak_memory.value < 100_000_000
    suite = ElementTree.parse(junit).getroot()
    assert [case.get("name") for case in suite] == ["outputs", "max_memory"] and suite.get("failures") == "0"
    assert "says nothing of the device" in capsys.readouterr().out


def test_an_artifact_that_hangs_is_ended_by_the_deadline(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "START", 0.5)
    request = CheckRequest(bundle, on="local", deadline=0.01)
    with pytest.raises(DeviceLost, match="did not end within"):
        check_bundle(request, SilentReporter())


def test_a_changed_artifact_is_not_run(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    with (copy / "model.null").open("ab") as file:
        file.write(b"x")
    assert run(["check", str(copy), "--on", "null", "--json"]) == 1
    assert "model.null" in data(capsys)["error"]


@pytest.mark.parametrize("name", ["sustained", "soak"])
def test_a_long_protocol_tells_what_time_does(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(["check", str(bundle), "--on", "null", "--protocol", name, "--json"]) == 0
    found = data(capsys)
    assert (found["throttling"] is not None) == (name == "sustained")
    assert (found["leak"] is not None) == (name == "soak")
