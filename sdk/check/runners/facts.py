"""What a phone or board says of itself, and whether its numbers are those of a device, an emulator or this machine."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from sdk.check.result import DeviceEntry, Origin

ABIS = {"aarch64": "arm64-v8a", "armv7l": "armeabi-v7a", "armv8l": "armeabi-v7a", "x86_64": "x86_64", "i686": "x86"}
"""Machine as the kernel names it → Android's name of its ABI."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Facts:
    """The entry of the device, where its files go, the free bytes there (None: it does not say), its Python."""

    device: DeviceEntry
    origin: Origin
    root: str
    free: int | None
    python: str


def parse_facts(text: str, identity: str, phone: bool) -> Facts:
    """Read what the facts script printed; `phone`: reached as a phone, so one that is this machine is an emulator."""
    said = dict(line.strip().partition(" ")[::2] for line in text.splitlines())
    machine = said.get("machine", "")
    abi = said.get("ro.product.cpu.abi") or ABIS.get(machine, machine)
    version = said.get("ro.build.version.release")
    origin = _origin(said, machine, phone)
    model, codename, brand = (said.get(f"ro.product.{word}", "") for word in ("model", "device", "brand"))
    model = model or said.get("board", "")
    name = model or said.get("host", "")
    return Facts(
        DeviceEntry(
            id=identity, name=f"{name} ({codename})" if codename else name, abi=abi,
            product=f"{brand}/{codename}" if brand and codename else "", model=model,
            os=f"android {version}" if version else said.get("kernel", ""), emulated=origin == "emulator",
        ),
        origin, said.get("root", "/tmp"), _free(said.get("free", "")), said.get("python", ""),
    )  # fmt: skip


def _origin(said: dict[str, str], machine: str, phone: bool) -> Origin:
    if "1" in (said.get("ro.kernel.qemu"), said.get("ro.boot.qemu")):
        return "emulator"
    if said.get("boot") and said["boot"] == _own_boot():
        return "emulator" if phone or machine != platform.machine() else "host"
    return "device"


def _own_boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _free(line: str) -> int | None:
    """Bytes from a line of `df -kP`: file system, blocks, used, free, …."""
    fields = line.split()
    return int(fields[3]) * 1024 if len(fields) > 3 and fields[3].isdigit() else None
