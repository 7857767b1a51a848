"""A real adbd in a namespace of its own: eight faults, the C runner on a real artifact, and nothing to reach from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import sdk
from sdk.bundles import open_bundle

HERE = Path(__file__).parent
PORTS = {5555, 5099}
NEEDED = ("mmdebstrap", "unshare", "adb")
MISSING = [name for name in NEEDED if shutil.which(name) is None] + ([] if os.geteuid() == 0 else ["root"])

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")]

ENDS = {
    "nothing": ("", 0), "hang": ("DeviceLost", 3), "full": ("DeviceUnfit", 3), "kill the runner": ("RunnerFailed", 1),
    "kill adbd": ("DeviceLost", 3), "freeze adbd": ("DeviceLost", 3), "kill the server": ("DeviceLost", 3),
    "disconnect": ("DeviceLost", 3), "second client": ("DeviceBusy", 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Debian with adbd, from this machine's package mirror."""
    place = tmp_path_factory.mktemp("phone") / "root"
    packages = "--include=adbd,bash,coreutils,sed,util-linux"
    done = subprocess.run(
        ["mmdebstrap", "--variant=extract", packages, "trixie", place, _mirror()], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mmdebstrap failed: {done.stderr.strip().splitlines()[-1:]}")
    (place / "usr/bin/sh").symlink_to("bash")
    return place


def _mirror() -> str:
    for source in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        for line in source.read_text().splitlines() if source.is_file() else ():
            for word in line.split() if not line.lstrip().startswith("#") else ():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    pytest.skip("this machine's apt sources name no Debian mirror")


def _listening() -> set[int]:
    """Ports of this machine's own network that anything listens on."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}


def _programs(bundle: Path, folder: Path) -> list[Path]:
    _, outputs = open_bundle(bundle).reference
    octal = "".join(f"\\{byte:03o}" for byte in outputs[0].tobytes())
    shape = "x".join(map(str, outputs[0].shape))
    told = f"""echo snugfit-run 1; echo runtime fake 1; echo load_ns 9; echo first_ns 7; echo sample_ns 5 5 5 5 5
printf '{octal}' > output_000.bin; echo output output_000.bin float32 {shape}; echo end"""
    made = []
    for name, body in (("quick", told), ("slow", "sleep 300")):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        made.append(path)
    return made


@pytest.fixture(scope="module")
def litert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small LiteRT bundle, and the C runner in the cache; an empty text where its toolchain is missing."""
    from sdk.check.programs.build import ABIS, build_program
    from sdk.lowering.discovery import find_target

    if find_target("tflite").toolchain().missing:
        return ""
    folder = tmp_path_factory.mktemp("litert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDK_CACHE", str(folder / "cache"))
        build_program(ABIS["x86_64"])
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 196, 10))
    samples = [(torch.randn(1, 3, 16, 16),) for _ in range(4)]
    sdk.package(net, device="pixel8", target="tflite", uniform="q8", calibration=samples, out=folder / "net", name="net")
    return str(folder / "net")


def test_faults_on_a_real_adbd(bundle: Path, root: Path, litert: str, tmp_path: Path) -> None:
    before = _listening()
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "bash", HERE / "phone.sh", root]
    driver = [sys.executable, "-W", "ignore", HERE / "phone_driver.py", root, bundle, *_programs(bundle, tmp_path), litert]
    cache = {**os.environ, "SDK_CACHE": str(Path(litert).parent / "cache")}
    process = subprocess.Popen([*command, *driver], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cache)
    seen: set[int] = set()
    try:
        while process.poll() is None:
            seen |= _listening() - before
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        output, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0, errors[-2000:]
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert {name: (found[name]["error"], found[name]["exit_code"]) for name in ENDS} == ENDS, found
    assert all(each["clean"] for each in found.values()), found
    assert all(found[name]["seconds"] < 60 for name in ENDS), found
    assert not seen & PORTS and not _listening() & PORTS, "nothing is reachable from outside"
    assert not [p for p in Path("/proc").glob("[0-9]*/root") if _root_of(p) == str(root)], "everything is gone"
    if litert:
        assert found["litert"]["origin"] == "emulator" and found["litert"]["verdict"] == "unjudged"
        assert found["litert"]["relative_error"] <= 1e-4 and found["litert"]["peak"] > 0


def _root_of(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
