"""What the converter to LiteRT takes apart or cannot write at all, said before it is asked."""

from __future__ import annotations

from sdk.errors import LoweringError
from sdk.models import Model
from sdk.models.cubes import cube_left


def refuse_operators(model: Model) -> None:
    """LoweringError naming a grouped transposed convolution, whose weight the converter cuts up, or one over three axes."""
    cube = cube_left(model.program)
    if cube is not None:
        raise LoweringError(
            f"layer {cube[0]} ({cube[1]}): the converter to LiteRT writes convolutions over one and two axes: write it as 2-D "
            "convolutions of the slices, or choose another target"
        )
    for layer in model.inventory.layers:
        if layer.kind.startswith("conv_transpose") and layer.groups > 1:
            raise LoweringError(
                f"layer {layer.name}: LiteRT has no transposed convolution in {layer.groups} groups: write it as one for each "
                "group, as an upsampling and a grouped convolution, or choose another target"
            )
