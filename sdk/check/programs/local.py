"""Runs here, in a process of its own: opens an artifact as a board's program does and measures it.

An artifact that program cannot open (another target's, or one whose converter dropped an input) is opened by its target.
What the runtime's code takes is no memory of the artifact's. So a first process runs the artifact and tells which way it
went and which modules that imported, and each that measures imports those before it reads its base.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sdk.check.programs import measure
from sdk.lowering.discovery import ready_target

MARK = "snugfit-modules "
"""What the line that tells the modules starts with; toolchains print lines of their own."""


def main(job: dict[str, Any]) -> None:
    """Measure the `job`: artifact, target, inputs, the runtime's modules and the words of the protocol.

    The transcript goes to stdout. Without `modules` the artifact is run once, and what that imported is told instead.
    """
    path, inputs = job["artifact"], [measure.read_input(text) for text in job["inputs"]]
    if "modules" not in job:
        told = _try(job["target"], path, inputs)
        print(MARK + json.dumps({**told, "modules": list(sys.modules)}), flush=True)
        return
    load = _loader(job["target"], job["mapped"])[0]
    for name in job["modules"]:
        if name not in sys.modules:
            _import(name)
    signal.alarm(int(job["deadline"]) + 1)
    print("snugfit-run 1", flush=True)
    measure.measure(lambda: load(path), inputs, type("Given", (), job), job["runtime"])


def _try(target: str, path: str, inputs: list[Any]) -> dict[str, Any]:
    """Run once, the board's way if that works; return the runtime's name and whether it was that way (`mapped`)."""
    if target in measure.RUNTIMES:
        with suppress(Exception, SystemExit):
            load, runtime = _loader(target, True)
            load(path)(inputs)
            return {"runtime": runtime, "mapped": True}
    executable = ready_target(target).open(Path(path))
    executable.run(inputs)
    return {"runtime": executable.runtime, "mapped": False}


def _loader(target: str, mapped: bool) -> tuple[Callable[[str], measure.Run], str]:
    """What opens an artifact, and the name of its runtime where that is known before."""
    if mapped:
        load, runtime = measure.RUNTIMES[target]()
        return load, f"XNNPACK ({runtime})"
    return lambda path: ready_target(target).open(Path(path)).run, ""


def _import(name: str) -> None:
    with suppress(Exception):  # some exist only once something ran; the runtime makes them itself
        import_module(name)


if __name__ == "__main__":
    main(json.load(sys.stdin))
