"""The test bed of a real adbd: small Debian roots, an emulator for arm64, and namespaces that nothing outside can reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PORTS = {5555, 5556, 5099}
"""Of the relay, of adbd and of its adb server, in the namespace."""
RELEASE = "trixie"
"""The Debian with adbd 34, and with a QEMU that runs LiteRT (7.2 crashes)."""
NEEDED = ("mmdebstrap", "unshare", "adb")
MISSING = [name for name in NEEDED if shutil.which(name) is None] + ([] if os.geteuid() == 0 else ["root"])
_UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")


def debian(place: Path, machine: str) -> Path:
    """Make a small Debian with adbd at `place` from this machine's package mirror; `machine` as Debian calls it."""
    packages = "--include=adbd,bash,coreutils,sed,util-linux"
    _tool("mmdebstrap", "--variant=extract", f"--arch={machine}", packages, RELEASE, place, _mirror())
    (place / "usr/bin/sh").symlink_to("bash")
    return place


def emulator(folder: Path) -> Path:
    """Fetch the static QEMU for arm64 into `folder`."""
    _skip_old_kernels()
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources").write_text(f"deb [signed-by={key}] {_mirror()} {RELEASE} main\n")
    options = [
        f"Dir::Etc::sourcelist={folder / 'sources'}", "Dir::Etc::sourceparts=-", f"Dir::State::Lists={folder / 'lists'}",
        f"Dir::Cache::Archives={folder / 'archives'}", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
    ]  # fmt: skip
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    _tool(*apt, "update")
    _tool(*apt, "download", "qemu-user", folder=folder)
    package = next(folder.glob("qemu-user_*.deb"))
    _tool("sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -x ./usr/bin/qemu-aarch64', package, folder=folder)
    return folder / "usr/bin/qemu-aarch64"


def _skip_old_kernels() -> None:
    mounts = (*_UNSHARE, "mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc")
    if subprocess.run(mounts, capture_output=True, check=False).returncode:
        pytest.skip("this kernel keeps no list of interpreters per user namespace (binfmt_misc, Linux 6.7)")


def _tool(*command: str | Path, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")


def _mirror() -> str:
    for source in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        for line in source.read_text().splitlines() if source.is_file() else ():
            for word in line.split() if not line.lstrip().startswith("#") else ():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    pytest.skip("this machine's apt sources name no Debian mirror")


@dataclass(frozen=True)
class Ended:
    """How a command in a namespace ended, and which of the bed's ports were open to this machine meanwhile and after."""

    code: int
    output: str
    errors: str
    reachable: set[int]
    left: list[str]
    """Processes in the phone's root that outlived it."""


def beside_a_phone(root: Path, command: Sequence[str | Path], qemu: Path | str = "-", **words: str) -> Ended:
    """Run `command` with this Python beside `root`, in namespaces of its own; `words` are added to the environment."""
    before, seen = _listening(), set[int]()
    full = [*_UNSHARE, sys.executable, HERE / "phone.py", root, qemu, sys.executable, "-W", "ignore", *command]
    process = _start(full, words)
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
    return Ended(process.returncode, output, errors, (seen | _listening()) & PORTS, _inside(root))


def _start(command: Sequence[str | Path], words: Mapping[str, str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **words}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def _listening() -> set[int]:
    """Ports of this machine's own network that anything listens on."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}


def _inside(root: Path) -> list[str]:
    """Processes whose root is `root`, once the kernel had a moment to end them."""
    end = time.monotonic() + 5
    while (found := [str(path.parent) for path in Path("/proc").glob("[0-9]*/root") if _target(path) == str(root)]) and (
        time.monotonic() < end
    ):
        time.sleep(0.1)
    return found


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
