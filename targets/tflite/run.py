"""Loads a `.tflite` file in the interpreter that is installed and executes it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed, Missing
from targets.tflite.checks import checked_bytes
from targets.tflite.convert import INPUTS_KEY
from targets.tflite.silence import silence

RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert", "LiteRT"),
    ("tflite_runtime.interpreter", "tflite-runtime", "TensorFlow Lite"),
)
"""Interpreters in order of preference: module, distribution, name."""

THREADS = 2
"""Fixed, so that every machine executes the same way."""


class Executable:
    """A loaded file; `run` takes and returns arrays in the order and dtypes of the model."""

    origin = "host"

    def __init__(self, interpreter: Any, runtime: str, inputs: list[str], outputs: list[str]) -> None:
        self.runtime = runtime
        self._interpreter = interpreter
        self._runner = interpreter.get_signature_runner()
        self._inputs, self._outputs = inputs, outputs

    def nodes(self) -> list[dict[str, Any]]:
        """The graph's nodes as the interpreter tells them; behind them one for each delegated part."""
        return list(self._interpreter._get_ops_details())

    def run(self, inputs: list[Any]) -> list[Any]:
        """Execute once; inputs that the graph does not read were dropped by the converter and are ignored."""
        import numpy as np

        if len(inputs) != len(self._inputs):
            raise CheckFailed(f"{len(inputs)} inputs were given; the file takes {len(self._inputs)}")
        details = self._runner.get_input_details()
        given = {}
        for name, array in zip(self._inputs, inputs, strict=True):
            if name not in details:
                continue
            wanted = tuple(int(size) for size in details[name]["shape"])
            if tuple(np.shape(array)) != wanted:
                raise CheckFailed(f"input {name} has shape {list(np.shape(array))}; the file takes {list(wanted)}")
            given[name] = np.asarray(array, dtype=details[name]["dtype"], order="C")
        made = self._runner(**given)
        return [np.array(made[name]) for name in self._outputs]


def open_file(path: Path) -> Executable:
    """Load `path`; CheckFailed when it is corrupt or the runtime refuses it, Missing when there is no interpreter."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{path}: cannot be read: {error.strerror or error}") from error
    return open_bytes(data, str(path))


def open_bytes(data: bytes, where: str) -> Executable:
    """The same for the bytes of a file that messages call `where`."""
    module, runtime = _interpreter()
    flat = checked_bytes(data, where) if _has_schema() else None
    if data[4:8] != b"TFL3":
        raise CheckFailed(f"{where}: is not a .tflite file (no TFL3 mark)")
    try:
        with silence():
            interpreter = module.Interpreter(model_content=data, num_threads=THREADS)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise CheckFailed(f"{where}: {runtime} refuses it: {str(error).splitlines()[0][:200]}") from error
    if flat is None:
        return Executable(interpreter, runtime, *_names_told(interpreter))
    outputs = [entry.name.decode() for entry in flat.signatureDefs[0].outputs]
    return Executable(interpreter, runtime, input_names(flat), outputs)


def input_names(flat: Any) -> list[str]:
    """Names of all the model's inputs in order, also of those that the graph does not read (kept in the metadata)."""
    for entry in flat.metadata or ():
        if entry.name == INPUTS_KEY.encode():
            return bytes(flat.buffers[entry.buffer].data).decode().split("\n")
    return [entry.name.decode() for entry in flat.signatureDefs[0].inputs]


def _has_schema() -> bool:
    return importlib.util.find_spec("ai_edge_litert") is not None


def _names_told(interpreter: Any) -> tuple[list[str], list[str]]:
    """Names of inputs and outputs in the order of the graph, from an interpreter that comes without the schema."""
    found = []
    signature = next(iter(interpreter._get_full_signature_list().values()))
    for side, details in (("inputs", interpreter.get_input_details()), ("outputs", interpreter.get_output_details())):
        order = {detail["index"]: place for place, detail in enumerate(details)}
        found.append(sorted(signature[side], key=lambda name, side=side: order[signature[side][name]]))  # type: ignore[misc]
    return found[0], found[1]


def _interpreter() -> tuple[Any, str]:
    for module, distribution, name in RUNTIMES:
        if importlib.util.find_spec(module.partition(".")[0]) is not None:
            found = importlib.import_module(module)
            return found, f"XNNPACK ({name} {importlib.metadata.version(distribution)})"
    raise Missing("no LiteRT interpreter is installed; run: pip install 'snugfit[tflite]'")
