"""Loads a finished package and runs it: with Core ML on macOS, with the reference evaluator elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import BadInput, CheckFailed, Missing, SdkError
from sdk.lowering import Executable
from sdk.lowering.types import Arrays
from targets.coreml.contents import Contents, open_contents
from targets.coreml.decoding import FORBIDDEN
from targets.coreml.evaluator.interpreter import Constants, Values, check_operations, last_used, new_states, run_block
from targets.coreml.program import OUTPUTS, described
from targets.coreml.toolkit import coremltools, version


class Evaluated:
    """The package under the reference evaluator: float32 arithmetic on the weights that the package holds."""

    origin = "evaluator"

    def __init__(self, contents: Contents) -> None:
        check_operations(contents)
        self.runtime = f"MIL reference evaluator (coremltools {version()})"
        self._contents = contents
        self._constants, self._done = Constants(contents), last_used(contents.block)

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once; token ids of any integer type are computed as int32."""
        fed = _named(self._contents.spec, inputs)
        return self._executed({n: _as_computed(a) for n, a in fed.items()})

    def _executed(self, inputs: Mapping[str, Any]) -> Arrays:
        import torch

        with torch.no_grad():
            try:
                results = run_block(self._contents.block, Values(self._constants, inputs), self._done)
            except SdkError:
                raise
            except Exception as error:
                raise CheckFailed(f"the package's program cannot be evaluated: {_brief(error)}") from error
        return _typed(self._contents.spec, [r.numpy() for r in results])


class TokensEvaluated(Evaluated):
    """A language model under the reference evaluator; its states hold float16, as Core ML's do."""

    def __init__(self, contents: Contents) -> None:
        super().__init__(contents)
        self._states = new_states(contents)

    def run(self, inputs: Arrays) -> Arrays:
        """Read tokens [1, n] from position 0, with a cache of their own, and return the logits [1, n, vocabulary]."""
        return self._read(inputs[0], 0, new_states(self._contents))

    def step(self, tokens: Sequence[int], position: int) -> Any:
        """Return the logits behind the last of `tokens`, which stand at `position` and after."""
        import numpy as np

        return self._read(np.array([list(tokens)]), position, self._states)[0][0, -1]

    def _read(self, tokens: Any, position: int, states: dict[str, Any]) -> Arrays:
        fed = token_inputs(self._contents.spec, tokens, position)
        return self._executed({**states, **{name: _as_computed(array) for name, array in fed.items()}})


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


class TokensPredicted(Predicted):
    """A language model under Core ML itself."""

    def __init__(self, path: Path, contents: Contents, units: str) -> None:
        super().__init__(path, contents, units)
        self._state = self._model.make_state()

    def run(self, inputs: Arrays) -> Arrays:
        """Read tokens [1, n] from position 0, with a cache of their own, and return the logits [1, n, vocabulary]."""
        return self._read(inputs[0], 0, self._model.make_state())

    def step(self, tokens: Sequence[int], position: int) -> Any:
        """Return the logits behind the last of `tokens`, which stand at `position` and after."""
        import numpy as np

        return self._read(np.array([list(tokens)]), position, self._state)[0][0, -1]

    def _read(self, tokens: Any, position: int, state: Any) -> Arrays:
        import numpy as np

        fed = token_inputs(self._contents.spec, tokens, position)
        typed = {name: array.astype(np.float32 if array.dtype.kind == "f" else np.int32) for name, array in fed.items()}
        return _typed(self._contents.spec, list(self._model.predict(typed, state=state).values()))


def token_inputs(spec: Any, tokens: Any, position: int) -> dict[str, Any]:
    """Inputs of a language model for `tokens` [1, n] at `position`: the tokens, and a mask that lets each see what is before it.

    BadInput when the package does not take so many, or does not hold so long a text.
    """
    import numpy as np

    count = tokens.shape[-1]
    place = np.arange(position + count)
    seen = place[None] <= place[position:, None]
    mask = np.where(seen, 0.0, FORBIDDEN).astype(np.float32)[None, None]
    features = spec.description.input
    for feature, array in zip(features, (tokens, mask), strict=True):
        ranges = feature.type.multiArrayType.shapeRange.sizeRanges
        for size, allowed in zip(array.shape, ranges, strict=True):
            if size > allowed.upperBound:
                raise BadInput(
                    f"input {feature.name!r}: {size} tokens given, the package takes {allowed.upperBound} at most"
                )
    return {feature.name: array for feature, array in zip(features, (tokens, mask), strict=True)}


def open_package(path: Path, units: str = "ALL") -> Executable:
    """Load the package at `path`; CheckFailed when it is corrupt, Missing when the evaluator lacks an operation.

    `units` are the compute units that macOS loads it with, in coremltools' words.
    """
    try:
        contents = open_contents(path)
        talks = bool(contents.spec.description.state)
        if sys.platform == "darwin":
            return (TokensPredicted if talks else Predicted)(path, contents, units)
        return (TokensEvaluated if talks else Evaluated)(contents)
    except (CheckFailed, Missing):
        raise
    except Exception as error:
        raise CheckFailed(f"{path.name} is corrupt: {_brief(error)}") from error


def _named(spec: Any, inputs: Arrays) -> dict[str, Any]:
    """Inputs by the program's names; BadInput when their number or a shape is wrong."""
    features = spec.description.input
    if len(inputs) != len(features):
        raise BadInput(f"the package takes {len(features)} inputs, {len(inputs)} were given")
    names, given = list(spec.mlProgram.functions["main"].inputs), {}
    for declared, feature, array in zip(names, features, inputs, strict=True):
        shape = tuple(feature.type.multiArrayType.shape)
        if shape == (1,) and not array.shape:  # packages have no tensors without axes
            array = array.reshape(shape)
        if tuple(array.shape) != shape:
            raise BadInput(f"input {feature.name!r}: shape {list(array.shape)} given, the package takes {list(shape)}")
        given[declared.name] = array
    return given


def _as_computed(array: Any) -> Any:
    import torch

    tensor = torch.as_tensor(array)
    return tensor.float() if tensor.is_floating_point() else tensor.to(torch.int32)


def _typed(spec: Any, arrays: list[Any]) -> Arrays:
    """Give outputs the dtypes that the model has."""
    outputs = described(spec, OUTPUTS, spec.description.output)
    return [array.astype(dtype) for array, (_, dtype) in zip(arrays, outputs, strict=True)]


def _brief(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


