"""Drafts the profile of a device from what it says of itself; what it does not say is left out for a person to add."""

from __future__ import annotations

import re
from typing import Any

from sdk.devices.probe import LINUX_ISA, RUNS, WHY_RUNS
from sdk.devices.profile import SCHEMA, DeviceProfile

SCRIPT = r"""
echo machine $(uname -m); echo kernel $(uname -sr); echo host $(uname -n)
[ -r /proc/device-tree/model ] && echo board $(tr -d '\0' < /proc/device-tree/model)
if command -v getprop >/dev/null 2>&1; then
  for p in ro.product.model ro.product.brand ro.product.device ro.build.version.release ro.soc.manufacturer ro.soc.model; do
    echo $p $(getprop $p)
  done
fi
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  [ -r $c/cpufreq/cpuinfo_max_freq ] && echo khz ${c##*/cpu} $(cat $c/cpufreq/cpuinfo_max_freq)
done
sed -n 's/^MemTotal: */memory /p' /proc/meminfo
sed -n 's/^processor[[:space:]]*: /core /p; s/^CPU part[[:space:]]*: /part /p; s/^CPU implementer[[:space:]]*: /maker /p;
  s/^model name[[:space:]]*: /model /p; s/^Features[[:space:]]*: /isa /p; s/^flags[[:space:]]*: /isa /p' /proc/cpuinfo
for z in /sys/class/thermal/thermal_zone[0-9]*; do [ -r $z/type ] && echo zone $(cat $z/type); done
true
"""
"""Prints one fact a line."""

PARTS = {
    "0xd03": "Cortex-A53", "0xd05": "Cortex-A55", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76", "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78", "0xd44": "Cortex-X1", "0xd46": "Cortex-A510", "0xd47": "Cortex-A710", "0xd48": "Cortex-X2",
    "0xd4d": "Cortex-A715", "0xd4e": "Cortex-X3", "0xd80": "Cortex-A520", "0xd81": "Cortex-A720", "0xd82": "Cortex-X4",
    "0xd85": "Cortex-X925", "0xd87": "Cortex-A725",
}  # fmt: skip
"""Part number of a core by Arm (implementer 0x41) → its name (Linux, arch/arm64/include/asm/cputype.h)."""
SAID = "probed: {} on the device"
POLICY = "half of the RAM: Android sets no fixed limit on native memory, but ends apps when the device runs short"


def draft_profile(text: str, phone: bool) -> DeviceProfile:
    """Return the profile that SCRIPT's output `text` tells; `phone`: an Android device, else a board."""
    said = _Said(text)
    title = said.words.get("ro.product.model") or said.words.get("board") or said.words.get("host") or "Unknown device"
    name = "_".join(re.findall(r"[a-z0-9]+", title.lower())) or "device"
    vendor = "".join(re.findall(r"[a-z0-9]", said.words.get("ro.product.brand", "unknown").lower())) or "unknown"
    android = phone and "ro.build.version.release" in said.words
    targets = ["tflite", "executorch"]
    data: dict[str, Any] = {
        "schema": SCHEMA, "name": name, "title": title, "vendor": vendor,
        "note": "A draft made by `sdk devices probe`" + (f"; thermal zones: {', '.join(said.zones)}" if said.zones else ""),
        "os": {"name": "android" if android else "linux", "note": said.words.get("kernel", "")},
        "soc": {"name": _fact(said.soc, "ro.soc.model or /proc/cpuinfo"), "clusters": said.clusters()},
        "accelerators": [{"kind": "cpu", "targets": {each: _runs(each) for each in targets}}], "targets": targets,
    }  # fmt: skip
    if said.memory:
        data["ram"] = _fact(said.memory, "/proc/meminfo MemTotal")
        data["app_memory"] = {"value": said.memory // 2, "source": "policy", "why": POLICY}
    if android and said.words.get("ro.product.brand") and said.words.get("ro.product.device"):
        spelled = f"{said.words['ro.product.brand']}/{said.words['ro.product.device']}"
        data["play"] = {"device": _fact(spelled, "ro.product.brand, ro.product.device")}
    return DeviceProfile.model_validate(data)


def _fact(value: object, where: str) -> dict[str, Any]:
    return {"value": value, "source": SAID.format(where), "confidence": "probed"}


def _runs(target: str) -> dict[str, Any]:
    return {"value": RUNS[target], "source": "policy", "why": WHY_RUNS}


class _Said:
    """The lines of the script, sorted: words, cores with their part, clock and instruction sets."""

    def __init__(self, text: str) -> None:
        self.words: dict[str, str] = {}
        self.zones: list[str] = []
        self.khz: dict[int, int] = {}
        self.cores: list[dict[str, str]] = []
        for line in text.splitlines():
            word, _, rest = line.strip().partition(" ")
            self._take(word, rest.strip())
        memory = re.match(r"(\d+) kB", self.words.get("memory", ""))
        self.memory = int(memory[1]) * 1024 if memory else 0
        self.soc = (
            " ".join(filter(None, (self.words.get("ro.soc.manufacturer"), self.words.get("ro.soc.model"))))
            or next((core["model"] for core in self.cores if core.get("model")), "") or self.words.get("machine", "unknown")
        )  # fmt: skip

    def _take(self, word: str, rest: str) -> None:
        if not rest:
            return
        if word == "zone":
            self.zones += [rest] if rest not in self.zones else []
        elif word == "khz" and len(rest.split()) == 2 and all(each.isdigit() for each in rest.split()):
            core, khz = map(int, rest.split())
            self.khz[core] = khz
        elif word == "core":
            self.cores.append({"core": rest})
        elif word in ("part", "maker", "model", "isa") and self.cores:
            self.cores[-1][word] = rest
        else:
            self.words.setdefault(word, rest)

    def clusters(self) -> list[dict[str, Any]]:
        """Equal cores together, from the fastest to the slowest."""
        found: dict[tuple[str, int], list[dict[str, str]]] = {}
        for core in self.cores:
            number = int(core["core"]) if core["core"].isdigit() else -1
            found.setdefault((_named(core, self.soc), self.khz.get(number, 0)), []).append(core)
        ordered = sorted(found.items(), key=lambda item: (-item[0][1], item[0][0]))
        return [self._cluster(name, khz, cores) for (name, khz), cores in ordered]

    @staticmethod
    def _cluster(name: str, khz: int, cores: list[dict[str, str]]) -> dict[str, Any]:
        cluster: dict[str, Any] = {"core": name, "count": _fact(len(cores), "/proc/cpuinfo")}
        if 100_000 <= khz <= 10_000_000:
            cluster["mhz"] = _fact(khz // 1000, "cpufreq/cpuinfo_max_freq")
        words = set(cores[0].get("isa", "").split())
        isa = [word for flag, word in LINUX_ISA.items() if flag in words]
        return cluster | ({"isa": _fact(isa, "/proc/cpuinfo")} if isa else {})


def _named(core: dict[str, str], soc: str) -> str:
    part = core.get("part", "")
    if core.get("maker") == "0x41" and part in PARTS:
        return PARTS[part]
    return core.get("model") or (f"core {part} of maker {core.get('maker', 'unknown')}" if part else soc)
