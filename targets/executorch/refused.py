"""Operators that ExecuTorch's own kernels refuse only when they run."""

from __future__ import annotations

from sdk.errors import LoweringError
from sdk.models import Model


def refuse_operators(model: Model) -> None:
    """LoweringError naming the first layer whose operator has no kernel that takes it."""
    import torch

    aten = torch.ops.aten
    cubes = {aten.conv3d.default, aten.conv3d.padding, aten.conv_transpose3d.input}
    names = {**model.program.graph_signature.inputs_to_parameters, **model.program.graph_signature.inputs_to_buffers}
    for node in model.program.graph.nodes:
        if node.op == "call_function" and node.target in cubes:
            weight = str(names.get(node.args[1].name, node.name)).removesuffix(".weight")
            kind = str(node.target).split(".")[1]
            raise LoweringError(
                f"layer {weight} ({kind}): ExecuTorch's kernels convolve in one and two dimensions: write it as 2-D convolutions "
                "of the slices, or choose another target"
            )
