"""Kernels of a device that nobody probed: those of a machine that was, scaled by what the cores of both can compute at most.

A network's threads run on the fastest cores. Arithmetic scales with the multiply-accumulates that these start per second, in
floats or in integers; all else with their float throughput, which clocks and vector units share. How wrong that is was measured
on published latencies of phones and boards (docs/benchmarks/phones.md): it is the interval of every such prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sdk.devices import DeviceProfile, Kernel, Kernels
from sdk.schemes import scheme_named

THREADS = 2
"""Threads that an artifact runs with, as in a check."""
ERROR = (-0.4, 2.1)
"""Bounds between which nine in ten of measured / predicted - 1 lie, on published rows (docs/benchmarks/phones.md)."""


@dataclass(frozen=True, slots=True)
class Peak:
    """Multiply-accumulates per ns that some cores start at most, in floats and in 8-bit integers."""

    fp32: float
    int8: float


def peak_of(device: DeviceProfile, threads: int = THREADS) -> Peak | None:
    """Return what the fastest `threads` cores compute at most; None where the profile does not say enough."""
    cores: list[Peak] = []
    for cluster in device.soc.clusters:
        if cluster.core in _cores() and cluster.mhz is not None:
            cores += [core_peak(cluster.core, cluster.mhz.value, 1)] * cluster.count.value
    cores.sort(key=lambda core: -core.fp32)
    return _sum(cores[:threads]) if cores else None


def core_peak(core: str, mhz: int, threads: int) -> Peak:
    """Return what `threads` cores of one kind compute at most."""
    per_cycle, scale = _cores()[core], threads * mhz / 1000
    return Peak(per_cycle["fp32"] * scale, per_cycle["int8"] * scale)


def _sum(cores: Iterable[Peak]) -> Peak:
    cores = list(cores)
    return Peak(sum(core.fp32 for core in cores), sum(core.int8 for core in cores))


@cache
def _cores() -> Mapping[str, Mapping[str, float]]:
    found: Any = yaml.safe_load(resources.files("sdk.costs").joinpath("cores.yaml").read_text(encoding="utf-8"))
    return dict(found)


def transferred(kernels: Kernels, machine: Peak, device: Peak) -> Kernels:
    """Return the kernels that were measured on `machine` as `device` would run them, with the interval of such guesses.

    How far the 90th percentile lies above the median is the machine's own affair: it does not carry over.
    """
    rows = tuple(_scaled(row, machine, device) for row in kernels.rows)
    slower = machine.fp32 / device.fp32
    return kernels.model_copy(update={
        "rows": rows, "error": ERROR, "tail": 1.0, "stream": tuple((size, ns * slower) for size, ns in kernels.stream),
        "origin": f"transferred by the peak arithmetic of the cores from kernels {kernels.origin}",
    })  # fmt: skip


def _scaled(row: Kernel, machine: Peak, device: Peak) -> Kernel:
    integers = row.scheme and scheme_named(row.scheme).format == "int" and scheme_named(row.scheme).activations != "float"
    slower = machine.fp32 / device.fp32
    macs = machine.int8 / device.int8 if integers else slower
    first, *rest = row.ns
    return row.model_copy(update={"ns": (first * macs, *(ns * slower for ns in rest))})
