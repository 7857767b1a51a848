"""Says which operations of a program compute in float16 when coremltools converts it."""

from __future__ import annotations

from typing import Any

_PLAIN = ("reshape", "transpose", "expand_dims", "squeeze", "concat", "stack", "split", "tile", "slice_by_index", "slice_by_size",
          "cast", "select", "clip", "reduce_sum", "sigmoid", "sigmoid_hard", "tanh", "relu", "const")  # fmt: skip
_PLAIN_KINDS = ("elementwise_binary", "elementwise_unary")
"""Operations, and coremltools' modules of others, through which places are followed back to what they are made of."""


class Halving:
    """Whether an operation computes in float16; an instance is for one conversion.

    All do but the mean square of a norm, which activations of 256 overflow, and the places that images are sampled at: among
    1,000 pixels float16 is off by a quarter of one.
    """

    def __init__(self) -> None:
        self._places: set[Any] | None = None

    def __call__(self, op: Any) -> bool:
        if self._places is None:
            self._places = _places(op.enclosing_block)
        if op in self._places:
            return False
        if op.op_type in ("pow", "square"):
            return all(user.op_type != "reduce_mean" for user in op.outputs[0].child_ops)
        if op.op_type == "add":
            return op.x.op is None or op.x.op.op_type != "reduce_mean"
        return op.op_type not in ("reduce_mean", "rsqrt")


def _places(block: Any) -> set[Any]:
    """The operations that compute the coordinates of `resample`, back to layers and inputs, and those that sample."""
    found: set[Any] = {op for op in block.operations if op.op_type == "resample"}
    todo = [op.coordinates for op in found]
    while todo:
        op = todo.pop().op
        if op is not None and op not in found and _is_plain(op):
            found.add(op)
            todo += [each for value in op.inputs.values() for each in (value if isinstance(value, list | tuple) else [value])]
    return found


def _is_plain(op: Any) -> bool:
    return op.op_type in _PLAIN or type(op).__module__.rpartition(".")[2] in _PLAIN_KINDS
