"""Profiles one .tflite file by operator with LiteRT's C API: pushed to boards beside `measure.py`, on which it stands.

    python profiling.py tflite MODEL --profile N --deadline S [--input DTYPE:SHAPE:FILE …]

The library is the one in ai_edge_litert's wheel, and the file the prototypes of `litert_runner.c`, which does the same on phones.
`sdk.check.profile` reads what it prints.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from importlib import import_module
from importlib.util import find_spec
from typing import Any

MEASURE = "sdk.check.programs.measure" if __package__ or find_spec("measure") is None else "measure"
"""On a board it lies beside this file; here both are modules of a package."""
measure: Any = import_module(MEASURE)
ELEMENTS = {
    1: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float16", 11: "float64",
}  # fmt: skip
"""Number of a tensor's type → numpy's name."""
CPU, WRITE, OPERATOR, DELEGATED = 1, 1, 2, 4 | 8
"""Numbers of the C API: an accelerator, a lock, and the types of events of operators outside and inside of a delegate."""
OPTIONS = {"xnnpack": "num_threads = 2\n", "runtime_options_string": "enable_profiling = true\n"}
"""Name of a part of the runtime → its options (read in the library of LiteRT 2.3)."""


class TensorType(ctypes.Structure):
    """LiteRtRankedTensorType: the low seven bits of `rank` count `dims`."""

    _fields_ = [("element", c_int32), ("rank", c_uint32), ("dims", c_int32 * 8), ("strides", c_uint32 * 8)]


class Event(ctypes.Structure):
    """ProfiledEventData: `metadata[0]` is the number of the operator, of its graph or of its delegate's part."""

    _fields_ = [
        ("tag", c_char_p), ("type", c_int), ("start_us", c_uint64), ("elapsed_us", c_uint64), ("memory", c_int64 * 6),
        ("metadata", c_uint64 * 2), ("source", c_int),
    ]  # fmt: skip


def main(arguments: list[str]) -> None:
    """Profile what the command line names; the process ends itself by SIGALRM when the deadline is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runtime", choices=["tflite"])
    parser.add_argument("model")
    parser.add_argument("--profile", type=int, required=True)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--input", action="append", default=[])
    given = parser.parse_args(arguments)
    signal.alarm(int(given.deadline) + 1)
    print("snugfit-profile 1")
    spec = find_spec("ai_edge_litert")
    folder = os.path.dirname(spec.origin or "") if spec is not None else ""
    if not folder:
        measure.refuse("no LiteRT library: pip install ai-edge-litert")
    print("runtime LiteRT {} (C API, XNNPACK)".format(measure.version("ai_edge_litert")))
    api = Api(os.path.join(folder, "libLiteRt.so"))
    model = Model(api, given.model, [measure.read_input(text) for text in given.input])
    print("runs", given.profile)
    for backend, node, taken, tag in operators(model.profile(given.profile), given.profile):
        print("op", backend, node, ",".join(map(str, taken)), tag)
    print("end", flush=True)


class Api:
    """The functions of the library; each that fails ends the program with its name."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)

    def __call__(self, name: str, *words: Any) -> None:
        function: Any = getattr(self._library, "LiteRt" + name, None)
        if function is None:
            measure.refuse("libLiteRt.so has no LiteRt" + name)
        if function(*words):
            measure.refuse("LiteRt" + name + " failed")

    def made(self, name: str, *words: Any) -> c_void_p:
        """Call what puts a handle behind its last argument, and return it."""
        handle = c_void_p()
        self(name, *words, byref(handle))
        return handle


class Model:
    """One model with profiling enabled, its buffers made and the inputs filled."""

    def __init__(self, api: Api, path: str, inputs: list[Any]) -> None:
        self.api, self._kept = api, []  # type: Api, list[Any]
        environment = api.made("CreateEnvironment", 0, None)
        model = api.made("CreateModelFromFile", environment, path.encode())
        self._compiled = api.made("CreateCompiledModel", environment, model, self._options())
        signature = api.made("GetModelSignature", model, c_size_t(0))
        self._sides = [self._buffers(environment, signature, side) for side in ("Input", "Output")]
        if len(self._sides[0]) != len(inputs):
            measure.refuse("the file takes another number of inputs than were recorded")
        for place, (kind, buffer) in enumerate(self._sides[0]):
            self._fill(inputs[place], kind, buffer)

    def profile(self, runs: int) -> list[Event]:
        """Return the events of `runs` runs, after one that is not profiled."""
        handle = c_void_p()
        self.api("CompiledModelGetProfiler", self._compiled, byref(handle))
        if not handle:
            measure.refuse("this LiteRT makes no profile")
        self._run()
        found: list[Event] = []
        for _ in range(runs):  # one by one: the profiler's room is limited, and the oldest events would be lost
            self.api("ResetProfiler", handle)
            self.api("StartProfiler", handle)
            self._run()
            self.api("StopProfiler", handle)
            count = c_int()
            self.api("GetNumProfilerEvents", handle, byref(count))
            events = (Event * count.value)()
            self.api("GetProfilerEvents", handle, count, events)
            found += [Event.from_buffer_copy(event) for event in events]
        return found

    def _run(self) -> None:
        words: list[Any] = []
        for side in self._sides:
            words += [c_size_t(len(side)), (c_void_p * len(side))(*(buffer for _, buffer in side))]
        self.api("RunCompiledModel", self._compiled, c_size_t(0), *words)

    def _options(self) -> c_void_p:
        made = self.api.made("CreateOptions")
        self.api("SetOptionsHardwareAccelerators", made, CPU)
        nothing = ctypes.CFUNCTYPE(c_int, c_void_p)(lambda text: 0)  # the texts are this program's own to free
        for part, text in OPTIONS.items():
            words = ctypes.create_string_buffer(text.encode())
            self._kept += [words, nothing]
            self.api("AddOpaqueOptions", made, self.api.made("CreateOpaqueOptions", part.encode(), words, nothing))
        return made

    def _buffers(self, environment: c_void_p, signature: c_void_p, side: str) -> list[tuple[TensorType, c_void_p]]:
        count = c_size_t()
        self.api("GetNumSignature" + side + "s", signature, byref(count))
        found = []
        for place in range(count.value):
            tensor = self.api.made("GetSignature" + side + "TensorByIndex", signature, c_size_t(place))
            kind = TensorType()
            self.api("GetRankedTensorType", tensor, byref(kind))
            needs = self.api.made("GetCompiledModel" + side + "BufferRequirements", self._compiled, c_size_t(0), c_size_t(place))
            made = self.api.made("CreateManagedTensorBufferFromRequirements", environment, byref(kind), needs)
            found.append((kind, made))
        return found

    def _fill(self, array: Any, kind: TensorType, buffer: c_void_p) -> None:
        import numpy

        dims = tuple(kind.dims[: kind.rank & 0x7F])
        made = numpy.ascontiguousarray(array, dtype=ELEMENTS[kind.element])
        if made.shape != dims:
            measure.refuse("an input has another size than the file takes")
        place = c_void_p()
        self.api("LockTensorBuffer", buffer, byref(place), WRITE)
        ctypes.memmove(place, made.ctypes.data_as(POINTER(ctypes.c_char)), made.nbytes)
        self.api("UnlockTensorBuffer", buffer)


def operators(events: list[Event], runs: int) -> list[tuple[str, int, list[int], str]]:
    """Return backend, number, µs of each run, and name of every operator, in the order in which they run."""
    found = [(backend, event) for event in events if (backend := backend_of(event.type)) is not None]
    each = len(found) // runs
    if not each or len(found) != runs * each:
        measure.refuse("the runs did not execute the same operators")
    rows = []
    for place in range(each):
        backend, first = found[place]
        taken = [event.elapsed_us for _, event in found[place::each]]
        rows.append((backend, first.metadata[0], taken, first.tag.decode(errors="replace")))
    return rows


def backend_of(kind: int) -> str | None:
    """What executed the operator of an event, None where the event is of none."""
    return "XNNPACK" if kind & DELEGATED else "LiteRT" if kind & OPERATOR else None


if __name__ == "__main__":
    main(sys.argv[1:])
