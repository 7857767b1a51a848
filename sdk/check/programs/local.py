"""Runs here, in a process of its own: opens an artifact with its target and measures it as a device's program would."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sdk.check.programs import measure
from sdk.lowering.discovery import ready_target


def main(job: dict[str, Any]) -> None:
    """Measure the `job`: artifact, target, inputs and the words of the protocol; the transcript goes to stdout."""
    signal.alarm(int(job["deadline"]) + 1)
    print("snugfit-run 1", flush=True)
    target, path = ready_target(job["target"]), Path(job["artifact"])
    inputs = [measure.read_input(text) for text in job["inputs"]]
    runtime = _import_runtime(target, path, inputs)
    given = type("Given", (), job)
    measure.measure(lambda: target.open(path).run, inputs, given, runtime)


def _import_runtime(target: Any, path: Path, inputs: list[Any]) -> str:
    """Import what a copy of this process imported to run the artifact, so that the base holds the runtime's code.

    The copy is gone afterwards, with all that it loaded. Returns the runtime's name.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        executable = target.open(path)
        executable.run(inputs)
        with os.fdopen(write, "w") as out:
            json.dump({"runtime": executable.runtime, "modules": list(sys.modules)}, out)
            out.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    os.waitpid(child, 0)
    if not text:
        target.open(path).run(inputs)  # fails here as it did there, and says so
        raise RuntimeError("the artifact ran here but not in a copy of this process")
    found = json.loads(text)
    for name in found["modules"]:
        if name not in sys.modules:
            _import(name)
    return str(found["runtime"])


def _import(name: str) -> None:
    with suppress(Exception):  # some exist only once something ran; the runtime makes them itself
        import_module(name)


if __name__ == "__main__":
    main(json.load(sys.stdin))
