"""Measures one artifact and prints a transcript: pushed to boards as it is, so it needs only Python 3.9 and numpy.

    python measure.py RUNTIME MODEL --warmup N --runs N --seconds S --deadline S [--input DTYPE:SHAPE:FILE …] [--against MODEL]

The transcript is read by `sdk.check.transcript`; outputs are written beside it as `output_000.bin`, ….
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

Run = Callable[[list[Any]], list[Any]]
"""Executes once: arrays in, arrays out, in the order of the model."""
PACKAGES = ("ai_edge_litert", "tflite_runtime", "executorch")
"""Folders of the packages whose libraries hold a runtime's code."""
STANDARD = ("libstdc++.so", "libgcc_s.so", "libc.so", "libm.so")
"""Beginnings of the names of those that all of them share."""
KEPT = 1 << 18
"""Samples kept at most: then every other one is dropped, and from there on every other one is taken."""
POINTS = 64
"""Readings of resident memory over a repeat."""
TURN = 4
"""Runs that one of two models has before it is the other's turn: few, so that both meet the same machine."""


def main(arguments: list[str]) -> None:
    """Measure as the command line says; the process ends itself by SIGALRM when the deadline is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runtime", choices=sorted(RUNTIMES))
    parser.add_argument("model")
    for name, kind in (("warmup", int), ("runs", int), ("seconds", float), ("deadline", float)):
        parser.add_argument("--" + name, type=kind, required=True)
    parser.add_argument("--input", action="append", default=[])
    parser.add_argument("--against")
    given = parser.parse_args(arguments)
    signal.alarm(int(given.deadline) + 1)
    os.environ["TMPDIR"] = os.getcwd()  # what a runtime writes for itself (torch does) is removed with this folder
    print("snugfit-run 1", flush=True)
    load, runtime = RUNTIMES[given.runtime]()
    inputs = [read_input(text) for text in given.input]
    measure(load, given.model, inputs, given, runtime)


def measure(load: Callable[[str], Run], model: str, inputs: list[Any], given: Any, runtime: str) -> None:
    """Load, run and time `model`; with `given.against` then load that too, and time both in turns.

    `load(path)` returns a callable from a list of arrays to a list of arrays.
    """
    print("runtime", runtime)
    samples = array("q", [0]) * KEPT  # resident before the base is read: a list that grows would look like a leak
    touch_code()
    give_back()
    base, own = resident(), status("RssAnon:")
    if base is not None:
        print("base_bytes", base)
        reset_peak()
    start = time.perf_counter_ns()
    run = load(model)
    print("load_ns", time.perf_counter_ns() - start)
    start = time.perf_counter_ns()
    run(inputs)
    print("first_ns", time.perf_counter_ns() - start, flush=True)
    for _ in range(given.warmup):
        run(inputs)
    outputs, kept, stride, points = timed(run, inputs, given, samples)
    top, private = status("VmHWM:"), status("RssAnon:")
    if top is not None and base is not None:
        print("peak_bytes", max(0, top - base))
    if private is not None and own is not None:
        print("private_bytes", max(0, private - own))
    tell("sample_ns", samples[:kept])
    if points:
        print("resident_bytes", *points)
    print("stride", stride)
    write_outputs(outputs)
    if given.against:
        turns = in_turns(run, load(given.against), inputs, given)
        tell("own_ns", turns[0])
        tell("against_ns", turns[1])
    print("end", flush=True)


def timed(run: Run, inputs: list[Any], given: Any, samples: Any) -> tuple[list[Any], int, int, list[int]]:
    """Run until both least numbers are reached, and put nanoseconds into `samples`, an array of KEPT.

    Returns the outputs, how many samples were kept, their stride and the memory readings.
    """
    points: list[int] = []
    kept, stride, count = 0, 1, 0
    every = max(1, given.runs // POINTS)
    clock = time.perf_counter_ns
    until = clock() + int(given.seconds * 1e9)
    while count < given.runs or clock() < until:
        start = clock()
        outputs = run(inputs)
        taken = clock() - start
        if count % stride == 0:
            samples[kept] = taken
            kept += 1
            if kept == len(samples):
                for place in range(kept // 2):  # in place: a copy would be memory of its own
                    samples[place] = samples[2 * place]
                kept, stride = kept // 2, stride * 2
        count += 1
        if count % every == 0 and count <= given.runs:
            points.append(resident() or 0)
    return outputs, kept, stride, points


def in_turns(run: Run, other: Run, inputs: list[Any], given: Any) -> tuple[list[int], list[int]]:
    """Run both, `TURN` runs each and the order turned round every time, until both least numbers are reached.

    The other is new, so it first runs as often as `run` did before it was timed.
    Returns nanoseconds of each, equally many: those at the same place were measured next to each other.
    """
    for _ in range(1 + given.warmup):
        other(inputs)
    found: tuple[list[int], list[int]] = ([], [])
    sides = [(run, found[0]), (other, found[1])]
    clock = time.perf_counter_ns
    until = clock() + int(given.seconds * 1e9)
    while (len(found[0]) < given.runs or clock() < until) and len(found[0]) < KEPT:
        for call, taken in sides:
            for _ in range(TURN):
                start = clock()
                call(inputs)
                taken.append(clock() - start)
        sides.reverse()
    return found


def tell(word: str, samples: Any) -> None:
    """Print nanoseconds, 64 a line."""
    for place in range(0, len(samples), 64):
        print(word, *samples[place : place + 64])


def write_outputs(outputs: list[Any]) -> None:
    """Write each array's bytes to `output_000.bin`, … and say its dtype and shape."""
    import numpy

    for place, output in enumerate(outputs):
        made = numpy.asarray(output, order="C")
        name = f"output_{place:03d}.bin"
        with open(name, "wb") as file:
            file.write(made.tobytes())
        print("output", name, made.dtype.name, "x".join(map(str, made.shape)) or "scalar")


def read_input(text: str) -> Any:
    """Return the array that DTYPE:SHAPE:FILE names."""
    import numpy

    dtype, shape, name = text.split(":", 2)
    dims = [int(size) for size in shape.split("x")] if shape != "scalar" else []
    return numpy.fromfile(name, dtype=dtype).reshape(dims)


def resident() -> int | None:
    """Return the resident bytes of this process, or None where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def give_back() -> None:
    """Return what imports left free in the heap to the system, where the C library can: artifacts hide in it (torch: 1.5 MB)."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def touch_code() -> None:
    """Make the code of the runtimes' libraries resident: how much of it a run touches is decided by how the system keeps files.

    The same artifacts took 2.0 or 3.6 MB of LiteRT's code, and 0.9 or 2.4 MB of ExecuTorch's, before and after it was installed
    anew.
    """
    import ctypes

    step = os.sysconf("SC_PAGE_SIZE")
    for edges, mode, _ in mapped(STANDARD):
        if mode in ("r-xp", "r--p"):
            first, last = (int(edge, 16) for edge in edges.split("-"))
            for page in range(first, last, step):
                ctypes.string_at(page, 1)


def libraries() -> list[str]:
    """Return the files of the runtimes' libraries that this process has opened."""
    return sorted({path for _, mode, path in mapped() if mode == "r-xp"})


def mapped(others: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Return addresses, rights and file of whatever is mapped of the runtimes' packages, and of files whose names begin as one of
    `others`; nothing without /proc.
    """
    found = []
    with suppress(OSError), open("/proc/self/maps") as file:
        for fields in map(str.split, list(file)):
            path = fields[5] if len(fields) > 5 else ""
            if any(f"/{name}/" in path for name in PACKAGES) or os.path.basename(path).startswith(tuple(others)):
                found.append((fields[0], fields[1], fields[5]))
    return found


def reset_peak() -> None:
    """Let the peak start again from what is resident now; a kernel that cannot leaves the peak since the start."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def status(word: str) -> int | None:
    """Return the bytes that /proc/self/status tells for `word`, or None where the system does not say.

    VmHWM: the most that was resident since `reset_peak`; RssAnon: what is resident and not of a file.
    """
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(word):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def litert() -> tuple[Callable[[str], Run], str]:
    """Return the loader of `.tflite` files and the runtime's name: ai_edge_litert, else tflite_runtime."""
    for package, title in (("ai_edge_litert", "LiteRT"), ("tflite_runtime", "TensorFlow Lite")):
        try:
            interpreter = importlib.import_module(package + ".interpreter")
        except ImportError:
            continue
        return partial(load_litert, interpreter), f"{title} {version(package)}"
    refuse("no LiteRT interpreter: pip install ai-edge-litert")


def load_litert(interpreter: Any, path: str) -> Run:
    """Open a `.tflite` file with two threads, as the SDK does."""
    import numpy

    opened = interpreter.Interpreter(model_path=path, num_threads=2)
    opened.allocate_tensors()
    runner = opened.get_signature_runner()
    signature = next(iter(opened._get_full_signature_list().values()))
    names = []
    for side, details in (("inputs", opened.get_input_details()), ("outputs", opened.get_output_details())):
        order = {detail["index"]: place for place, detail in enumerate(details)}
        places = {name: order[index] for name, index in signature[side].items()}
        names.append(sorted(places, key=places.__getitem__))
    dtypes = {name: detail["dtype"] for name, detail in runner.get_input_details().items()}

    def run(arrays: list[Any]) -> list[Any]:
        if len(arrays) != len(names[0]):
            refuse(f"{len(arrays)} inputs were recorded, the file takes {len(names[0])}")
        made = runner(**{name: numpy.asarray(arrays[i], dtypes[name]) for i, name in enumerate(names[0])})
        return [made[name] for name in names[1]]

    return run


def executorch() -> tuple[Callable[[str], Run], str]:
    """Return the loader of `.pte` files and the runtime's name."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the runtime has threads of its own, and torch would begin more in each
    try:
        from executorch.kernels import quantized  # noqa: F401  (registers the quantized operators)
        from executorch.runtime import Runtime
    except ImportError:
        refuse("no ExecuTorch runtime: pip install executorch")
    import torch

    touch_torch(torch)

    def load(path: str) -> Run:
        call = partial(Runtime.get().load_program(path).load_method("forward")._method.call, clone_outputs=False)
        return lambda arrays: [value.numpy() for value in call([torch.from_numpy(a) for a in arrays])]

    return load, "ExecuTorch {}".format(version("executorch"))


def touch_torch(torch: Any) -> None:
    """Make, copy and give out a tensor as ExecuTorch's binding does, and touch the thread pool that both share: torch's code is
    the binding's, and no part of the runtime.
    """
    import ctypes

    import numpy

    torch.from_numpy(numpy.zeros((1, 4, 4, 4), numpy.float32)).clone().numpy()
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so"))
        for name in ("pthreadpool_get_threads_count", "pthreadpool_create_v2"):
            ctypes.string_at(ctypes.cast(getattr(library, name), ctypes.c_void_p), 1)


def version(package: str) -> str:
    """Return the version of an installed package."""
    from importlib.metadata import version as of

    return of(package.replace("_", "-"))


def refuse(why: str) -> NoReturn:
    """End with a transcript that says why nothing was measured."""
    print("error", why, flush=True)
    sys.exit(1)


RUNTIMES = {"tflite": litert, "executorch": executorch}
"""Target → what finds its runtime."""

if __name__ == "__main__":
    main(sys.argv[1:])
