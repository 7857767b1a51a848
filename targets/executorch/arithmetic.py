"""How many multiply-accumulates an ATen operator of an ExecuTorch program does, from the shapes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int, ...]

_CONVOLUTIONS = {"convolution", "conv_with_clamp", "conv1d", "conv2d"}
_LINEARS = {"linear", "_weight_int8pack_mm", "linear_qcs4w", "linear_q4gsw", "linear_dq8ca_q4gsw", "mm", "bmm", "matmul"}


def multiply_accumulates(operator: str, inputs: Sequence[Shape], output: Shape, transposed: bool = False) -> int:
    """Return those of one call of an `operator` such as `aten::mm.out` or `aten.mm.default`.

    `inputs` are the shapes of its tensors in order. 0 for operators that do not multiply by a matrix.
    """
    name = operator.replace("::", ".").split(".")[1]
    if name in _CONVOLUTIONS and len(inputs) > 1:
        return math.prod(inputs[0] if transposed else output) * math.prod(inputs[1][1:])
    if name in _LINEARS and inputs and inputs[0]:
        return math.prod(output) * inputs[0][-1]
    if name == "addmm" and len(inputs) > 1:
        return math.prod(output) * inputs[1][-1]
    return 0
