"""Checks over real ssh on the loopback: what is pushed is removed, and each fault has its error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from board import SSHD, WHY, Board

import sdk
from sdk.bundles import open_bundle
from sdk.check import CheckRequest, check_bundle, protocols
from sdk.check.runners import remote
from sdk.devices import validate_file
from sdk.devices.writing import profile_text
from sdk.errors import BadInput, DeviceBusy, DeviceLost, DeviceUnfit, RunnerFailed, SdkError
from sdk.lowering.discovery import find_target
from sdk.probing import networks, probing
from sdk.progress import SilentReporter

pytestmark = pytest.mark.skipif(SSHD is None, reason=WHY)

TOLD = """echo snugfit-run 1; echo runtime fake 1; echo load_ns 9000000; echo first_ns 7000000
echo sample_ns 5000000 5100000 5200000 5300000 5400000"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    found = Board(tmp_path_factory.mktemp("board"))
    yield found
    found.stop()


def request(bundle: Path, board: Board, tmp_path: Path, last: str = "echo end", host: str = "board") -> CheckRequest:
    _, outputs = open_bundle(bundle).reference
    octal = "".join(f"\\{byte:03o}" for byte in outputs[0].tobytes())
    shape = "x".join(map(str, outputs[0].shape))
    program = tmp_path / "program"
    output = f"printf '{octal}' > output_000.bin\necho output output_000.bin float32 {shape}"
    program.write_text(f"#!/bin/sh\n{TOLD}\n{output}\n{last}\n")
    return CheckRequest(bundle, on=f"ssh:{host}", program=program, ssh_config=board.config, deadline=60.0)


def clean(board: Board) -> bool:
    end = time.monotonic() + 20
    while list(board.sandbox.iterdir()) and time.monotonic() < end:
        time.sleep(0.05)
    return not list(board.sandbox.iterdir())


def test_a_board_is_checked_and_left_clean(bundle: Path, board: Board, tmp_path: Path) -> None:
    found = check_bundle(request(bundle, board, tmp_path), SilentReporter())
    assert found.relative_error.value == 0 and found.latency.p50_ms.value == 5.2
    assert found.origin == "host", "this board is this machine, and the result says so"
    assert found.peak_memory.value is None and found.before.load is not None
    assert clean(board)


@pytest.mark.parametrize(
    ("last", "error", "words"),
    [
        ("kill -9 $$", RunnerFailed, "memory runs short"),
        ("echo error no runtime here", DeviceUnfit, "no runtime here"),
        ("sleep 60", DeviceLost, "did not end within"),
    ],
)
def test_a_fault_of_the_program(
    bundle: Path, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, error: type[SdkError], words: str
) -> None:
    wanted = request(bundle, board, tmp_path, last)
    if last.startswith("sleep"):
        monkeypatch.setattr(remote, "GRACE", -55.0)
    with pytest.raises(error, match=words):
        check_bundle(wanted, SilentReporter())
    assert clean(board)


def test_a_board_in_use_is_left_alone(bundle: Path, board: Board, tmp_path: Path) -> None:
    import os

    folder = board.sandbox / "snugfit-check"
    folder.mkdir()
    (folder / "janitor.pid").write_text(str(os.getpid()))
    with pytest.raises(DeviceBusy, match="in use by another check"):
        check_bundle(request(bundle, board, tmp_path), SilentReporter())
    assert (folder / "janitor.pid").is_file()
    (folder / "janitor.pid").unlink()
    folder.rmdir()


def test_a_host_that_is_not_there(bundle: Path, board: Board, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("Host board\n  HostName 127.0.0.1\n  Port 1\n")
    wanted = CheckRequest(bundle, on="ssh:board", ssh_config=other)
    with pytest.raises(DeviceLost, match="board cannot be reached by ssh"):
        check_bundle(wanted, SilentReporter())


@pytest.mark.parametrize("on", ["ssh", "ssh:", "ssh:-oProxyCommand=x"])
def test_a_host_has_to_be_named(bundle: Path, on: str) -> None:
    with pytest.raises(BadInput, match="name the host"):
        check_bundle(CheckRequest(bundle, on=on), SilentReporter())


@pytest.mark.slow
@pytest.mark.parametrize(("target", "runtime"), [("tflite", "LiteRT "), ("executorch", "ExecuTorch ")])
def test_pythons_runtime_on_the_board_gives_the_recorded_outputs(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, runtime: str
) -> None:
    if missing := find_target(target).toolchain().missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.setitem(protocols.PROTOCOLS, "quick", replace(protocols.PROTOCOLS["quick"], repeats=1))
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 196, 10))
    samples = [(torch.randn(1, 3, 16, 16),) for _ in range(4)]
    out = tmp_path / "net"
    sdk.package(net, device="pixel8", target=target, uniform="q8", calibration=samples, out=out, name="net")
    wanted = CheckRequest(out, on="ssh:board", ssh_config=board.config, deadline=200.0, max_latency=100_000.0)
    found = check_bundle(wanted, SilentReporter())
    assert found.relative_error.value is not None and found.relative_error.value <= 1e-4
    assert found.runner.program == "sdk.check.programs.measure" and found.runner.runtime.startswith(runtime)
    assert found.peak_memory.value is not None and 0 < found.peak_memory.value < 100_000_000
    assert {budget.name: budget.verdict for budget in found.budgets}["max_latency"] == "unjudged" and found.exit_code == 1
    assert {found.origin, found.latency.p90_ms.origin, found.peak_memory.origin} == {"host"}, "this board is this machine"
    turns = check_bundle(replace(wanted, baseline=out), SilentReporter())
    assert turns.baseline is not None and len(turns.repeats) == len(turns.baseline.repeats) == 5
    assert turns.repeats[0].own_ns and turns.budgets[-1].verdict == "passed", "as big as itself"
    assert clean(board)


@pytest.mark.parametrize("kernels", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["facts", "kernels"])
def test_a_board_is_probed(kernels: bool, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("linear (64", "linear (128", "embedding (1000", "stream (512")
    few = tuple(network for network in networks.all_networks() if network.name.startswith(wanted))
    monkeypatch.setattr(probing, "all_networks", lambda: few)
    targets = ("tflite",) if kernels else ()
    found = probing.probe_device(probing.ProbeRequest("ssh:board", targets, board.config), SilentReporter())
    path = tmp_path / "board.yaml"
    path.write_text(profile_text(found))
    assert validate_file(path) == found
    assert found.os.name == "linux"
    assert found.ram is not None
    assert found.ram.value > 1e9
    assert set(found.kernels) == set(targets)
    if kernels:
        assert {row.kind for row in found.kernels["tflite"].rows} >= {"linear", "embedding"}
    assert clean(board)
