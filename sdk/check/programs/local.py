"""Runs here, in a process of its own: opens an artifact with its target and measures it as a device's program would.

What the runtime's code takes is no memory of the artifact's. So a first process runs the artifact and tells which modules
that imported, and each that measures imports those before it reads its base.
"""

from __future__ import annotations

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
    """Measure the `job`: artifact, target, inputs, the runtime's modules and the words of the protocol.

    The transcript goes to stdout. Without `modules` the artifact is run once, and what that imported is told instead.
    """
    target, path = ready_target(job["target"]), Path(job["artifact"])
    inputs = [measure.read_input(text) for text in job["inputs"]]
    if "modules" not in job:
        executable = target.open(path)
        executable.run(inputs)
        print(MARK + json.dumps({"runtime": executable.runtime, "modules": list(sys.modules)}), flush=True)
        return
    for name in job["modules"]:
        if name not in sys.modules:
            _import(name)
    signal.alarm(int(job["deadline"]) + 1)
    print("snugfit-run 1", flush=True)
    measure.measure(lambda: target.open(path).run, inputs, type("Given", (), job), job["runtime"])


def _import(name: str) -> None:
    with suppress(Exception):  # some exist only once something ran; the runtime makes them itself
        import_module(name)


if __name__ == "__main__":
    main(json.load(sys.stdin))
