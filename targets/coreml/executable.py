"""Loads a finished package and runs it: with Core ML on macOS, with the reference evaluator elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sdk.errors import BadInput, CheckFailed, Missing, SdkError
from sdk.lowering import Executable
from sdk.lowering.types import Arrays
from targets.coreml.contents import Contents, open_contents
from targets.coreml.evaluator.interpreter import check_operations, load_constants, run_block
from targets.coreml.program import OUTPUTS, described
from targets.coreml.toolkit import coremltools, version


class Evaluated:
    """The package under the reference evaluator: float32 arithmetic on the weights that the package holds."""

    origin = "evaluator"

    def __init__(self, contents: Contents) -> None:
        check_operations(contents)
        self.runtime = f"MIL reference evaluator (coremltools {version()})"
        self._contents = contents
        self._constants = load_constants(contents)

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once; token ids of any integer type are computed as int32."""
        import torch

        fed = _named(self._contents.spec, inputs)
        values = {**self._constants, **{n: _as_computed(torch.as_tensor(a)) for n, a in fed.items()}}
        with torch.no_grad():
            try:
                results = run_block(self._contents.block, values)
            except SdkError:
                raise
            except Exception as error:
                raise CheckFailed(f"the package's program cannot be evaluated: {_brief(error)}") from error
        return _typed(self._contents.spec, [r.numpy() for r in results])


class Predicted:
    """The package under Core ML itself."""

    origin = "host"

    def __init__(self, path: Path, contents: Contents, units: str) -> None:
        import platform

        self.runtime = f"Core ML (macOS {platform.mac_ver()[0]})"
        self._contents = contents
        tools = coremltools()
        self._model = tools.models.MLModel(str(path), compute_units=tools.ComputeUnit[units])

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once; integers are passed as int32, the only integer type of Core ML's arrays."""
        import numpy as np

        fed = {n: a.astype(np.int32 if a.dtype.kind in "iub" else np.float32)
               for n, a in _named(self._contents.spec, inputs).items()}
        results = self._model.predict(fed)
        return _typed(self._contents.spec, [results[f.name] for f in self._contents.spec.description.output])


def open_package(path: Path, units: str = "ALL") -> Executable:
    """Load the package at `path`; CheckFailed when it is corrupt, Missing when the evaluator lacks an operation.

    `units` are the compute units that macOS loads it with, in coremltools' words.
    """
    try:
        contents = open_contents(path)
        if sys.platform == "darwin":
            return Predicted(path, contents, units)
        return Evaluated(contents)
    except (CheckFailed, Missing):
        raise
    except Exception as error:
        raise CheckFailed(f"{path.name} is corrupt: {_brief(error)}") from error


def _named(spec: Any, inputs: Arrays) -> dict[str, Any]:
    """Inputs by the program's names; BadInput when their number or a shape is wrong."""
    features = spec.description.input
    if len(inputs) != len(features):
        raise BadInput(f"the package takes {len(features)} inputs, {len(inputs)} were given")
    for feature, array in zip(features, inputs, strict=True):
        shape = tuple(feature.type.multiArrayType.shape)
        if tuple(array.shape) != shape:
            raise BadInput(f"input {feature.name!r}: shape {list(array.shape)} given, the package takes {list(shape)}")
    names = list(spec.mlProgram.functions["main"].inputs)
    return {declared.name: array for declared, array in zip(names, inputs, strict=True)}


def _as_computed(tensor: Any) -> Any:
    import torch

    return tensor.float() if tensor.is_floating_point() else tensor.to(torch.int32)


def _typed(spec: Any, arrays: list[Any]) -> Arrays:
    """Give outputs the dtypes that the model has."""
    outputs = described(spec, OUTPUTS, spec.description.output)
    return [array.astype(dtype) for array, (_, dtype) in zip(arrays, outputs, strict=True)]


def _brief(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


