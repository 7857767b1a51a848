"""What this machine says of itself, read when asked: the device called `host`."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from sdk.devices.profile import SCHEMA, DeviceProfile

_CPUINFO = Path("/proc/cpuinfo")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
LINUX_ISA = {
    "asimd": "neon", "asimdhp": "fp16", "asimddp": "dotprod", "i8mm": "i8mm", "bf16": "bf16", "sve": "sve",
    "sve2": "sve2", "sme": "sme", "sme2": "sme2", "sse4_2": "sse4_2", "avx": "avx", "avx2": "avx2",
    "fma": "fma", "f16c": "f16c", "avx512f": "avx512f", "avx512bw": "avx512bw", "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16", "avx512_fp16": "avx512_fp16",
    "avx_vnni": "avx_vnni", "amx_int8": "amx_int8", "amx_bf16": "amx_bf16",
}  # fmt: skip
"""Flag of /proc/cpuinfo → our word."""
_DARWIN_ISA = {
    "hw.optional.AdvSIMD": "neon", "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_DotProd": "dotprod", "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16", "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.arm.FEAT_SME2": "sme2", "hw.optional.avx2_0": "avx2", "hw.optional.avx512f": "avx512f",
}  # fmt: skip
"""Key of sysctl → our word."""
_XNNPACK = ["fp32", "int8", "int4", "int2", "int8_dynamic", "int4_dynamic", "int8_static"]
RUNS = {
    "tflite": [*_XNNPACK, "fp16", "int2_dynamic", "int4_static"],
    "executorch": _XNNPACK,
    "coreml": ["fp32", "fp16", "int8", "int4", "int8_static", "lut"],
}
WHY_RUNS = (
    "what the CPU kernels of the runtimes' desktop wheels take; the measured capability table of the target "
    "decides. Without macOS a Core ML package is executed by a reference evaluator"
)


def probe_host() -> DeviceProfile:
    """Return the profile of this machine: cores, instruction sets, memory and OS, as the system says."""
    memory, why = _memory()
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "name": "host",
        "title": "This machine",
        "vendor": "host",
        "os": {"name": _os_name(), "note": f"{platform.system()} {platform.release()}"},
        "ram": _probed(_total_memory(), "psutil virtual_memory().total"),
        "app_memory": _probed(memory, why) | {"why": why},
        "soc": {"name": _probed(*_cpu_name()), "clusters": [_cluster()]},
        "accelerators": [{"kind": "cpu", "targets": {name: _runs(name) for name in RUNS}}],
        "targets": list(RUNS),
    }
    return DeviceProfile.model_validate(data)


def _probed(value: object, where: str) -> dict[str, Any]:
    return {"value": value, "source": f"probed: {where}", "confidence": "probed"}


def _runs(target: str) -> dict[str, Any]:
    return {"value": RUNS[target], "source": "policy", "why": WHY_RUNS}


def _os_name() -> str:
    return {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}.get(platform.system(), "linux")


def _total_memory() -> int:
    return int(_psutil().virtual_memory().total)


def _memory() -> tuple[int, str]:
    total = _total_memory()
    for path in _CGROUP_LIMITS:
        try:
            limit = int(path.read_text())
        except (OSError, ValueError):
            continue
        if 0 < limit < total:
            return limit, f"the memory limit of this process' group ({path})"
    return total, "a process here may use all of the memory: no group limit is set"


def _cluster() -> dict[str, Any]:
    count = _psutil().cpu_count(logical=False) or os.cpu_count() or 1
    name, where = _cpu_name()
    flags, flags_from = _isa()
    cluster: dict[str, Any] = {
        "core": name,
        "count": _probed(count, f"psutil.cpu_count(logical=False); core: {where}"),
    }
    if flags:
        cluster["isa"] = _probed(flags, flags_from)
    mhz = _clock()
    if mhz is not None:
        cluster["mhz"] = _probed(mhz, "psutil.cpu_freq().max")
    return cluster


def _clock() -> int | None:
    try:
        frequency = _psutil().cpu_freq()
    except (OSError, NotImplementedError, AttributeError):
        return None
    return int(frequency.max) if frequency is not None and 100 <= frequency.max <= 10_000 else None


def _cpu_name() -> tuple[str, str]:
    if platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine(), "sysctl machdep.cpu.brand_string"
    match = re.search(r"^model name\s*:\s*(\S.*)$", _cpuinfo(), re.MULTILINE)
    if match:
        return match[1].strip(), "/proc/cpuinfo"
    return platform.machine() or "unknown", "platform.machine()"


def _isa() -> tuple[list[str], str]:
    if platform.system() == "Darwin":
        return [word for key, word in _DARWIN_ISA.items() if _sysctl(key) == "1"], "sysctl hw.optional"
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", _cpuinfo(), re.MULTILINE)
    flags = set(match[1].split()) if match else set()
    return [word for flag, word in LINUX_ISA.items() if flag in flags], "/proc/cpuinfo"


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(errors="replace")
    except OSError:
        return ""


def _sysctl(key: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", key], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _psutil() -> Any:
    import psutil  # type: ignore[import-untyped, unused-ignore]

    return psutil
