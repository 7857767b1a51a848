"""Builds what measures LiteRT bundles on a phone: the C runner, LiteRT's library, and the C library they need there.

Android has another C library than LiteRT's wheels are linked with, so the program brings its own and its loader.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import as_file, files
from pathlib import Path

from sdk.bundles import sha256_file
from sdk.cache import cache_folder
from sdk.errors import BadInput, LoweringError, Missing

_SOURCE = files("sdk.check.programs") / "litert_runner.c"
LITERT = "2.3.0"
"""The version whose C API the runner speaks."""
RECORD = "runner.json"
SECONDS = 600.0
"""Longest that one step may take; a first compilation of the C library's stubs takes minutes on a busy machine."""
_LIBRARIES = (
    "libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1",
)  # fmt: skip
_PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")


@dataclass(frozen=True, slots=True)
class Abi:
    """One processor as Android, the compiler, wheels, Debian and the C library's loader call it."""

    name: str
    machine: str
    debian: str
    loader: str


ABIS = {
    abi.name: abi
    for abi in (
        Abi("arm64-v8a", "aarch64", "arm64", "ld-linux-aarch64.so.1"),
        Abi("x86_64", "x86_64", "amd64", "ld-linux-x86-64.so.2"),
    )
}


def find_abi(name: str) -> Abi:
    """Return the ABI called `name`; BadInput lists the known ones."""
    if name not in ABIS:
        raise BadInput(f"--abi {name[:40]!r}: there is no runner for it: use {' or '.join(ABIS)}")
    return ABIS[name]


def program_folder(abi: Abi) -> Path:
    """Where the built program of an ABI is kept, in the cache's folder: one of another source is another program."""
    with as_file(_SOURCE) as source:
        return cache_folder() / "runners" / f"litert-{LITERT}-{abi.name}-{sha256_file(source)[:8]}"


def build_program(abi: Abi) -> Path:
    """Compile and gather everything, and return the folder; it appears whole or not at all.

    Missing says which tool is not installed, LoweringError what a tool said when it failed.
    """
    folder = program_folder(abi)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        _compile(abi, made / "runner")
        _litert(abi, made, Path(temporary))
        _c_library(abi, made, Path(temporary) / "debian")
        _record(abi, made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return folder


def read_program(abi: Abi) -> dict[str, Path]:
    """Return the files of the built program, checked against their recorded sha256; Missing when it is not built."""
    folder = program_folder(abi)
    build = f"sdk runner build --abi {abi.name}"
    try:
        recorded: dict[str, str] = json.loads((folder / RECORD).read_text("utf-8"))["files"]
        found = {name: folder / name for name in recorded}
        if all(sha256_file(path) == recorded[name] for name, path in found.items()):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        raise Missing(f"there is no runner for {abi.name} yet: run `{build}`") from None
    raise Missing(f"the runner for {abi.name} was changed since it was built: run `{build}` again")


def _compile(abi: Abi, out: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        raise Missing("ziglang is not installed: pip install 'snugfit[adb]'")
    with as_file(_SOURCE) as source:
        _tool([
            sys.executable, "-m", "ziglang", "cc", "-target", f"{abi.machine}-linux-gnu.2.27", "-O2", "-s",
            f'-DLITERT_VERSION="{LITERT}"', "-o", str(out), str(source), "-ldl",
        ])  # fmt: skip


def _litert(abi: Abi, out: Path, scratch: Path) -> None:
    """LiteRT's library: of the wheel that is installed where that is the right one, else of one that pip fetches."""
    if platform.machine() == abi.machine and platform.system() == "Linux" and _installed():
        spec = importlib.util.find_spec("ai_edge_litert")
        assert spec is not None and spec.origin is not None
        shutil.copyfile(Path(spec.origin).parent / "libLiteRt.so", out / "libLiteRt.so")
        return
    platforms = [word for glibc in ("2_27", "2_28", "2_17") for word in ("--platform", f"manylinux_{glibc}_{abi.machine}")]
    _tool([
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", *platforms,
        "--python-version", "3.11", "--dest", str(scratch), f"ai-edge-litert=={LITERT}",
    ])  # fmt: skip
    wheel = next(scratch.glob("ai_edge_litert-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        (out / "libLiteRt.so").write_bytes(archive.read("ai_edge_litert/libLiteRt.so"))


def _installed() -> bool:
    try:
        return version("ai-edge-litert") == LITERT
    except PackageNotFoundError:
        return False


def _c_library(abi: Abi, out: Path, scratch: Path) -> None:
    """The C and C++ libraries and the loader from Debian's packages, fetched by apt into folders of its own."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing("building the runner takes the C library from Debian's packages: build it on Debian or Ubuntu")
    for name in ("lists/partial", "archives/partial", "root"):
        (scratch / name).mkdir(parents=True)
    options = [
        f"Dir::State::Lists={scratch / 'lists'}", f"Dir::Cache::Archives={scratch / 'archives'}", "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=", f"APT::Architecture={abi.debian}", f"APT::Architectures={abi.debian}",
    ]  # fmt: skip
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    _tool([*apt, "update"], scratch)
    _tool([*apt, "download", *_PACKAGES], scratch)
    for package in sorted(scratch.glob("*.deb")):
        _tool(["dpkg-deb", "-x", str(package), str(scratch / "root")])
    for name in (*_LIBRARIES, abi.loader):
        found = next((path for path in sorted((scratch / "root").rglob(name)) if path.exists()), None)
        if found is None:
            raise LoweringError(f"Debian's packages hold no {name}: the runner cannot be built with this release")
        shutil.copyfile(found, out / name)


def _record(abi: Abi, made: Path) -> None:
    hashes = {path.name: sha256_file(path) for path in sorted(made.iterdir())}
    text = json.dumps({"abi": abi.name, "litert": LITERT, "files": hashes}, indent=1, sort_keys=True) + "\n"
    (made / RECORD).write_text(text, encoding="utf-8")


def _tool(command: Sequence[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise LoweringError(f"{Path(command[0]).name} took more than {SECONDS:.0f} seconds: try again") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        what = " ".join(Path(word).name for word in command[:4])
        raise LoweringError(f"building the runner: {what} failed: {said[0][:300]}")
