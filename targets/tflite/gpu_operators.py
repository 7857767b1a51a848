"""Which operators of a file LiteRT's GPU delegate takes, by its documented table and the conditions of its code.

The conditions are those of `CheckGpuDelegateCompatibility` (the table names the file); nothing of them was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from targets.tflite.flatbuffer import builtin_name, type_names

FLOATS = ("FLOAT32", "FLOAT16")
AXES = 4
"""Most axes of a tensor that the delegate holds."""


@dataclass(frozen=True, slots=True)
class Operand:
    """One tensor of an operator: its type, its extents, and whether the file holds its values."""

    kind: str
    shape: tuple[int, ...]
    constant: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator with its operands, absent ones left out."""

    name: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    options: Any

    @property
    def computed(self) -> int:
        """How many inputs are no constants."""
        return sum(not each.constant for each in self.inputs)


def operation(flat: Any, op: Any, constants: frozenset[int]) -> Operation:
    """Read one operator of the main graph; `constants` are tensors whose values the file holds in some form."""

    def operand(index: int) -> Operand:
        tensor = flat.subgraphs[0].tensors[index]
        shape = tuple(int(size) for size in tensor.shape) if tensor.shape is not None else ()
        return Operand(type_names()[tensor.type], shape, index in constants)

    inputs = tuple(operand(int(i)) for i in op.inputs if int(i) >= 0)
    return Operation(builtin_name(flat, op), inputs, tuple(operand(int(i)) for i in op.outputs), op.builtinOptions)


def objection(op: Operation, table: dict[str, dict[str, str]]) -> str | None:
    """Say why the delegate leaves an operator to the CPU, or None when it takes it."""
    row = table.get(op.name)
    if row is None:
        return "the GPU delegate has no such operator"
    check = CHECKS[row["check"]] if "check" in row else None
    return _tensors(op) or (check(op) if check is not None else None)


def _tensors(op: Operation) -> str | None:
    """The delegate computes in floats; other types pass as the operands that the conditions below name."""
    for each in (*op.inputs, *op.outputs):
        if len(each.shape) > AXES and not each.constant:
            return f"a tensor has {len(each.shape)} axes; the GPU delegate holds at most {AXES}"
    made = [each for each in op.outputs if each.kind not in FLOATS]
    if made and op.name not in _OTHER_OUTPUTS:
        return f"it makes {made[0].kind.lower()}; the GPU delegate computes in floats"
    read = [each for each in op.inputs if each.kind not in FLOATS and not each.constant]
    if read and op.name not in _OTHER_INPUTS:
        return f"it reads {read[0].kind.lower()}; the GPU delegate computes in floats"
    return None


_COMPARISONS = {"EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "NOT_EQUAL"}
_OTHER_OUTPUTS = _COMPARISONS | {"CAST"}
_OTHER_INPUTS = {"CAST", "DEQUANTIZE", "EMBEDDING_LOOKUP", "GATHER", "LOGICAL_AND"}


def _operands(op: Operation) -> str | None:
    fine = (op.computed, len(op.inputs) - op.computed) in ((1, 0), (2, 0), (1, 1))
    return None if fine else "it takes one or two operands, at most one of them constant"


def _two_inputs(op: Operation) -> str | None:
    return None if len(op.inputs) == 2 else f"it has {len(op.inputs)} inputs; the GPU delegate takes two"


def _broadcast(op: Operation) -> str | None:
    if len(op.inputs) != 2:
        return _two_inputs(op)
    long, short = sorted((each.shape for each in op.inputs), key=len, reverse=True)
    if len(short) <= 1 or len(long) == len(short):
        return None
    three = len(long) == 4 and len(short) == 3 and long[0] == 1
    one = len(long) == 4 and short == (1, 1) and long[0] == 1
    channels = len(long) == 4 and len(short) == 2 and (long[0], long[3]) == short
    return None if three or one or channels else f"the GPU delegate does not broadcast {list(short)} to {list(long)}"


def _constant_axes(op: Operation) -> str | None:
    fine = len(op.inputs) == 2 and op.inputs[1].constant and op.inputs[1].kind == "INT32"
    return None if fine else "its axes are no int32 constant"


def _multiplier(op: Operation) -> str | None:
    fine = op.outputs[0].shape[-1] == op.inputs[0].shape[-1] * max(1, int(op.options.depthMultiplier))
    return None if fine else "its channels are no whole multiple of the input's"


def _kept_axes(op: Operation) -> str | None:
    if int(op.options.weightsFormat) != 0:
        return "its weights are in a shuffled format"
    if op.computed > 2:
        return "more than two of its operands are computed"
    same = len(op.inputs[0].shape) == len(op.outputs[0].shape)
    return None if same or not op.options.keepNumDims else "it keeps axes that its output does not have"


def _indices(position: int) -> Callable[[Operation], str | None]:
    def check(op: Operation) -> str | None:
        if len(op.inputs) != 2:
            return _two_inputs(op)
        found, other = op.inputs[position], op.inputs[1 - position]
        if found.kind != "INT32" or len(found.shape) != 1:
            return f"its indices are {found.kind.lower()} {list(found.shape)}; the GPU delegate takes a vector of int32"
        return None if other.kind in (*FLOATS, "INT8", "INT4") else f"its table is {other.kind.lower()}"

    return check


def _cast(op: Operation) -> str | None:
    kinds = op.inputs[0].kind, op.outputs[0].kind
    numbers = {"FLOAT32", "INT32"}
    fine = set(kinds) <= numbers or ("BOOL" in kinds and any(kind in FLOATS for kind in kinds))
    return None if fine else f"the GPU delegate does not cast {kinds[0].lower()} to {kinds[1].lower()}"


def _paddings(op: Operation) -> str | None:
    found = op.inputs[1].shape if len(op.inputs) > 1 else ()
    return None if found in ((3, 2), (4, 2)) else f"its paddings have shape {list(found)}; the GPU delegate takes 3 or 4 axes"


def _three_or_four(op: Operation) -> str | None:
    axes = len(op.inputs[0].shape)
    return None if axes in (3, 4) else f"its input has {axes} axes; the GPU delegate slices 3 or 4"


def _strided_slice(op: Operation) -> str | None:
    found = op.options
    masked = found.ellipsisMask or found.newAxisMask or found.shrinkAxisMask
    return "it adds or drops axes while slicing" if masked else _three_or_four(op)


def _softmax(op: Operation) -> str | None:
    return None if op.options.beta == 1 else "its beta is not 1"


CHECKS: dict[str, Callable[[Operation], str | None]] = {
    "broadcast": _broadcast, "cast": _cast, "constant_axes": _constant_axes, "indices_first": _indices(0),
    "indices_second": _indices(1), "kept_axes": _kept_axes, "multiplier": _multiplier, "operands": _operands,
    "paddings": _paddings, "softmax": _softmax, "strided_slice": _strided_slice, "three_or_four_axes": _three_or_four,
    "two_inputs": _two_inputs,
}  # fmt: skip
"""Word in the table → the condition."""
