"""Runs a MIL block operation by operation on torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sdk.errors import CheckFailed, Missing
from targets.coreml.contents import Contents
from targets.coreml.program import walk
from targets.coreml.unfolding import decompress

CONTROL = ("const", "cond", "while_loop", "read_state", "write_state")
"""Operations that the interpreter itself runs; every constexpr too."""


HELD = 2 << 30
"""Bytes of unfolded weights that are kept from one run to the next."""


@cache
def operators() -> Mapping[str, Callable[..., Any]]:
    """Return every operation's function by name: keyword arguments as in MIL, tensors in, tensor or list out."""
    from targets.coreml.evaluator import elementwise, networks, reductions, shapes

    return {**elementwise.table(), **reductions.table(), **shapes.table(), **networks.table()}


def check_operations(contents: Contents) -> None:
    """Raise Missing when the program uses an operation that the evaluator lacks."""
    known = operators()
    lacking = sorted({op.type for op in walk(contents.block)
                      if op.type not in known and op.type not in CONTROL and not op.type.startswith("constexpr_")})
    if lacking:
        raise Missing(f"the MIL reference evaluator has no operation {', '.join(lacking)}: run the package on macOS")


class Constants:
    """Every constant and decompressed weight of a program, by name, unfolded when it is first used.

    What takes more than HELD bytes together is unfolded each time.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents, self._left = contents, HELD
        self._held: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._held:
            return self._held[name]
        made = _tensor(decompress(self._contents, self._contents.producers[name]))
        size = made.nbytes if hasattr(made, "nbytes") else 0
        if size <= self._left:
            self._held[name] = made
            self._left -= size
        return made


class Values(dict[str, Any]):
    """A run's inputs, states and results by name; what is none of these is a constant."""

    def __init__(self, constants: Constants, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._constants = constants

    def __missing__(self, name: str) -> Any:
        return self._constants[name]


def _tensor(array: Any) -> Any:
    """numpy to torch; strings to str."""
    import numpy as np
    import torch

    if array.dtype == object:
        return array.item() if array.ndim == 0 else [str(x) for x in array.reshape(-1)]
    widened = {np.dtype("uint16"): np.int32, np.dtype("uint32"): np.int64}.get(array.dtype, array.dtype)
    return torch.from_numpy(np.array(array, dtype=widened))


@dataclass(slots=True)
class State:
    """What a program keeps between runs: numbers that float16 holds, as float32."""

    value: Any


def new_states(contents: Contents) -> dict[str, State]:
    """Return the program's states by name, all zero."""
    import torch

    features = contents.spec.description.state
    return {f.name: State(torch.zeros(tuple(f.type.stateType.arrayType.shape))) for f in features}


Done = Mapping[int, list[str]]
"""Number of an operation of a block → results that nobody needs after it."""


def run_block(block: Any, values: dict[str, Any], done: Done | None = None) -> list[Any]:
    """Execute a block; `values` knows its inputs, states and all constants, and receives results until they are last used.

    `done` is what `last_used` says of the block; found out if absent.
    """
    known, done = operators(), last_used(block) if done is None else done
    for index, op in enumerate(block.operations):
        if op.type == "const" or op.type.startswith("constexpr_"):
            continue
        held = {key: _argument(argument, values) for key, argument in op.inputs.items()}
        results = _CONTROLS[op.type](op, held, values) if op.type in _CONTROLS else known[op.type](**held)
        several = results if isinstance(results, list | tuple) else [results]
        if len(several) != len(op.outputs):
            raise CheckFailed(f"operation {op.type} has {len(op.outputs)} outputs, {len(several)} were computed")
        for output, result in zip(op.outputs, several, strict=True):
            values[output.name] = result
        for name in done.get(index, ()):
            values.pop(name, None)
    return [values[name] for name in block.outputs]


def last_used(block: Any) -> Done:
    """Say when the results of a block are needed last, which takes long enough to be found out once."""
    last: dict[str, int] = {}
    for index, op in enumerate(block.operations):
        last.update({output.name: index for output in op.outputs})
        for inner in (op, *(each for part in op.blocks for each in walk(part))):
            for argument in inner.inputs.values():
                last.update({b.name: index for b in argument.arguments if b.HasField("name") and b.name in last})
            for part in inner.blocks:
                last.update({name: index for name in part.outputs if name in last})
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in block.outputs:
            found.setdefault(index, []).append(name)
    return found


def _argument(argument: Any, values: Mapping[str, Any]) -> Any:
    from targets.coreml.program import inline_value

    held = [values[b.name] if b.HasField("name") else _tensor(inline_value(b.value)) for b in argument.arguments]
    return held[0] if len(held) == 1 else held


def _cond(op: Any, held: Mapping[str, Any], values: dict[str, Any]) -> list[Any]:
    return run_block(op.blocks[0 if bool(held["pred"]) else 1], values)


def _while_loop(op: Any, held: Mapping[str, Any], values: dict[str, Any]) -> list[Any]:
    state = held["loop_vars"] if isinstance(held["loop_vars"], list) else [held["loop_vars"]]
    done = [last_used(block) for block in op.blocks]
    while True:
        values.update({i.name: v for i, v in zip(op.blocks[0].inputs, state, strict=True)})
        if not bool(run_block(op.blocks[0], values, done[0])[0]):
            return list(state)
        values.update({i.name: v for i, v in zip(op.blocks[1].inputs, state, strict=True)})
        state = run_block(op.blocks[1], values, done[1])


def _read_state(op: Any, held: Mapping[str, Any], values: dict[str, Any]) -> list[Any]:
    return [held["input"].value]


def _write_state(op: Any, held: Mapping[str, Any], values: dict[str, Any]) -> list[Any]:
    held["input"].value = held["data"].half().float()
    return []


_CONTROLS: dict[str, Callable[[Any, Mapping[str, Any], dict[str, Any]], list[Any]]] = {
    "cond": _cond, "while_loop": _while_loop, "read_state": _read_state, "write_state": _write_state,
}
