"""Times many artifacts in turns in one process: pushed to boards beside `measure.py`, on which it stands.

    python timing.py RUNTIME LIST --rounds N --runs N --seconds S --deadline S

LIST names one artifact a line, behind it DTYPE:SHAPE of each input, which are filled with a ramp. Prints `time_ns PLACE MEDIAN
P90` for each artifact in each round, or `failed PLACE WHY`; the first line is the runtime's, the last is `end`.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any

MEASURE = "sdk.check.programs.measure" if __package__ or find_spec("measure") is None else "measure"
"""On a board it lies beside this file; here both are modules of a package."""
measure: Any = import_module(MEASURE)
WARMUP = 3
"""Runs of each artifact before it is timed."""


def main(arguments: list[str]) -> None:
    """Time what the command line names; the process ends itself by SIGALRM when the deadline is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runtime", choices=sorted(measure.RUNTIMES))
    parser.add_argument("list")
    for name, kind in (("rounds", int), ("runs", int), ("seconds", float), ("deadline", float)):
        parser.add_argument("--" + name, type=kind, required=True)
    given = parser.parse_args(arguments)
    signal.alarm(int(given.deadline) + 1)
    load, runtime = measure.RUNTIMES[given.runtime]()
    print("runtime", runtime, flush=True)
    with open(given.list) as file:
        lines = [line.split() for line in file if line.strip()]
    for _ in range(given.rounds):
        for place, (path, *inputs) in enumerate(lines):
            try:
                print("time_ns", place, *time_one(load(path), [ramp(text) for text in inputs], given), flush=True)
            except (Exception, SystemExit) as error:
                print("failed", place, type(error).__name__, str(error)[:200].replace("\n", " "), flush=True)
            gc.collect()
    print("end", flush=True)


def time_one(run: Any, inputs: list[Any], given: Any) -> tuple[int, int]:
    """Return the median and the 90th percentile of calls of `run`, in ns."""
    for _ in range(WARMUP):
        run(inputs)
    samples: list[int] = []
    clock = time.perf_counter_ns
    until = clock() + int(given.seconds * 1e9)
    while len(samples) < given.runs or clock() < until:
        start = clock()
        run(inputs)
        samples.append(clock() - start)
    samples.sort()
    return samples[len(samples) // 2], samples[int(0.9 * len(samples))]


def ramp(text: str) -> Any:
    """Return an array of DTYPE:SHAPE: small integers, or floats between 0 and 1."""
    import numpy

    dtype, shape = text.split(":")
    dims = [int(size) for size in shape.split("x")] if shape != "scalar" else []
    places = numpy.arange(int(numpy.prod(dims, dtype=int)))
    values = places % 8 if numpy.dtype(dtype).kind in "iub" else (places % 61) / 61
    return values.astype(dtype).reshape(dims)


if __name__ == "__main__":
    main(sys.argv[1:])
