"""What the converter to LiteRT takes apart or cannot write at all, said before it is asked."""

from __future__ import annotations

from sdk.errors import LoweringError
from sdk.models import Model


def refuse_operators(model: Model) -> None:
    """LoweringError naming a grouped transposed convolution, whose weight the converter cuts up."""
    for layer in model.inventory.layers:
        if layer.kind.startswith("conv_transpose") and layer.groups > 1:
            raise LoweringError(
                f"layer {layer.name}: LiteRT has no transposed convolution in {layer.groups} groups: write it as one for each "
                "group, as an upsampling and a grouped convolution, or choose another target"
            )
