"""Runs here, in a process of its own: tells whether the program for boards can open an artifact, and measures it if not.

An artifact that program cannot open (another target's, or one whose converter dropped an input) is opened by its target.
What the runtime's code takes is no memory of the artifact's. So a first process runs the artifact and tells which way it
went, which modules that imported and which libraries the runtime opened by itself (LiteRT: that of its GPU accelerator), and
each that measures it by its target takes those in before it reads its base.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sdk.check.programs import measure
from sdk.lowering.discovery import ready_target

MARK = "snugfit-modules "
"""What the line that tells the modules starts with; toolchains print lines of their own."""


def main(job: dict[str, Any]) -> None:
    """Measure the `job` by its target: artifact, target, inputs, the runtime's modules, libraries and the words of the protocol.

    The transcript goes to stdout. Without `modules` the artifact is run once, and what that took in is told instead.
    """
    inputs = [measure.read_input(text) for text in job["inputs"]]
    if "modules" not in job:
        told = _try(job["target"], [path for path in (job["artifact"], job["against"]) if path], inputs)
        print(MARK + json.dumps({**told, "modules": list(sys.modules), "libraries": measure.libraries()}), flush=True)
        return
    for name in job["modules"]:
        if name not in sys.modules:
            _import(name)
    for path in job["libraries"]:
        with suppress(OSError):
            ctypes.CDLL(path)
    if "torch" in sys.modules:
        measure.touch_torch(sys.modules["torch"])
    signal.alarm(int(job["deadline"]) + 1)
    print("snugfit-run 1", flush=True)
    given = type("Given", (), job)
    measure.measure(lambda path: ready_target(job["target"]).open(Path(path)).run, job["artifact"], inputs, given, job["runtime"])


def _try(target: str, paths: list[str], inputs: list[Any]) -> dict[str, Any]:
    """Run each once, the board's way if that works for all; return the runtime's name and whether it was (`mapped`)."""
    if target in measure.RUNTIMES:
        with suppress(Exception, SystemExit):
            load, runtime = measure.RUNTIMES[target]()
            for path in paths:
                load(path)(inputs)
            return {"runtime": f"XNNPACK ({runtime})", "mapped": True}
    executable = None
    for path in paths:
        executable = ready_target(target).open(Path(path))
        executable.run(inputs)
    return {"runtime": executable.runtime if executable else "", "mapped": False}


def _import(name: str) -> None:
    with suppress(Exception):  # some exist only once something ran; the runtime makes them itself
        import_module(name)


if __name__ == "__main__":
    main(json.load(sys.stdin))
