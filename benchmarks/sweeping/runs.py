"""One measured run of `sdk sweep` in processes of its own, and what it left behind."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cases import ROOT


@dataclass(frozen=True)
class Place:
    """Where a run works: its matrix, its cache and its folder of bundles."""

    matrix: Path
    cache: Path
    out: Path

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "SDK_CACHE": str(self.cache), "OMP_NUM_THREADS": "1", **variables}
        command = [sys.executable, "-W", "ignore", "-m", "sdk.cli", "sweep", str(self.matrix), "--out", str(self.out), "--json"]
        return subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    def lowered(self) -> dict[str, int]:
        """Artifacts in the cache by inode: one that is lowered again has another."""
        return {path.name: path.stat().st_ino for path in (self.cache / "lowered").glob("[!.]*")}

    def hashes(self) -> dict[str, str]:
        """sha256 of every file of every bundle and of `sweep.json`."""
        files = sorted(p for p in self.out.rglob("*") if p.is_file() and p.name != ".lock")
        return {p.relative_to(self.out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def finish(started: subprocess.Popen[str], began: float) -> dict[str, Any]:
    """Wait for a run and return its figures."""
    out, _ = started.communicate()
    rows = json.loads(out).get("rows", [])
    return {
        "wall_seconds": time.monotonic() - began, "cells": len(rows), "built": sum(r["status"] == "built" for r in rows),
        "infeasible": sum(r["status"] == "infeasible" for r in rows), "failed": sum(r["status"] == "failed" for r in rows),
        "artifacts": len({r["sha256"] for r in rows if r["sha256"]}),
    }  # fmt: skip


def _children() -> float:
    """Processor seconds of the processes that ended, with theirs that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(place: Place, *options: str, **variables: str) -> dict[str, Any]:
    """Run a sweep to its end; `cpu_seconds` are those of all of its own processes."""
    load, began, before = os.getloadavg()[0], time.monotonic(), _children()
    figures = finish(place.start(*options, **variables), began)
    figures["cpu_seconds"] = _children() - before
    return {**figures, "lowered": len(place.lowered()), "busy": f"{load:.0f}–{os.getloadavg()[0]:.0f}"}


def killed(place: Place, *options: str) -> dict[str, Any]:
    """Kill a worker when a third of the plans is lowered, the driver at two thirds, and run it again."""
    began, load = time.monotonic(), os.getloadavg()[0]
    started = place.start(*options)
    plans = int(os.environ.get("PLANS", "12"))
    _until(lambda: len(place.lowered()) >= plans // 3)
    _workers(started)[0].send_signal(signal.SIGKILL)
    _until(lambda: len(place.lowered()) >= 2 * plans // 3)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    before = place.lowered()
    figures = finish(place.start(*options), began)
    after = place.lowered()
    again = sum(after.get(name) != inode for name, inode in before.items())
    return {**figures, "lowered": len(after), "kept": len(before), "again": again, "busy": f"{load:.0f}–{os.getloadavg()[0]:.0f}"}


def _workers(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(driver.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def _until(condition: Any) -> None:
    while not condition():
        time.sleep(0.05)


@contextmanager
def cluster() -> Iterator[str]:
    """A Ray cluster of two nodes with one processor each on this machine; yields its address."""
    from sdk.sweep.executors.ray import SETTINGS

    os.environ.update(SETTINGS)  # before ray is imported
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        made.add_node(num_cpus=1)
        yield str(made.address)
    finally:
        made.shutdown()
