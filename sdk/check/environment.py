"""The state of a machine at one moment, read by one small shell script that phones, boards and this machine run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdk.check.result import Environment

SCRIPT = r"""
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  [ -r $c/cpufreq/scaling_governor ] && echo governor ${c##*/} $(cat $c/cpufreq/scaling_governor)
  [ -r $c/cpufreq/scaling_cur_freq ] && echo clock ${c##*/} $(cat $c/cpufreq/scaling_cur_freq)
done
for z in /sys/class/thermal/thermal_zone[0-9]*; do
  [ -r $z/temp ] && echo temperature ${z##*/}:$(cat $z/type) $(cat $z/temp)
done
for b in /sys/class/power_supply/*; do
  [ -r $b/capacity ] && echo battery $(cat $b/capacity)
  [ -r $b/status ] && echo charging $(cat $b/status)
done
[ -r /proc/loadavg ] && echo load $(cat /proc/loadavg)
if command -v dumpsys >/dev/null 2>&1; then
  dumpsys thermalservice | sed -n 's/^Thermal Status: /thermal /p'
  dumpsys battery | sed -n 's/^ *level: /battery /p; s/^ *[AU][CS]B* powered: true/charging Charging/p'
fi
true
"""
"""Prints one fact a line; what cannot be read is left out."""

THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's thermal status (PowerManager.THERMAL_STATUS_*), by its number."""
HOT = THERMAL[3:]
"""From here on Android throttles so that no number stands for the device."""


def parse_environment(text: str) -> Environment:
    """Return what the script printed; lines that are none of its own are ignored (devices print warnings)."""
    found: dict[str, Any] = {"governors": {}, "clocks_khz": {}, "temperatures_mc": {}}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word in _READERS and rest:
            try:
                _READERS[word](found, rest)
            except (ValueError, IndexError):
                continue
    return Environment(**found)


def _named(field: str, convert: Callable[[str], Any]) -> Callable[[dict[str, Any], str], None]:
    def read(found: dict[str, Any], rest: str) -> None:
        name, value = rest.split(maxsplit=1)
        found[field][name] = convert(value)

    return read


def _one(field: str, convert: Callable[[str], Any]) -> Callable[[dict[str, Any], str], None]:
    def read(found: dict[str, Any], rest: str) -> None:
        found[field] = convert(rest.split()[0])

    return read


_READERS = {
    "governor": _named("governors", str),
    "clock": _named("clocks_khz", int),
    "temperature": _named("temperatures_mc", int),
    "battery": _one("battery_percent", int),
    "charging": _one("charging", lambda word: word.lower() in ("charging", "full")),
    "load": _one("load", float),
    "thermal": _one("thermal_status", lambda number: THERMAL[int(number)]),
}
