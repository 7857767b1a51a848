"""Operators that ExecuTorch's own kernels refuse only when they run."""

from __future__ import annotations

from sdk.errors import LoweringError
from sdk.models import Model
from sdk.models.cubes import cube_left


def refuse_operators(model: Model) -> None:
    """LoweringError naming the first layer whose operator has no kernel that takes it."""
    cube = cube_left(model.program)
    if cube is not None:
        raise LoweringError(
            f"layer {cube[0]} ({cube[1]}): ExecuTorch's kernels convolve in one and two dimensions: write it as 2-D convolutions "
            "of the slices, or choose another target"
        )
