"""What the converter to LiteRT takes apart or cannot write at all, said before it is asked."""

from __future__ import annotations

from typing import Any

from sdk.errors import LoweringError
from sdk.models import Model


def refuse_operators(model: Model) -> None:
    """LoweringError naming a grouped transposed convolution, whose weight the converter cuts up, or a complex tensor."""
    for layer in model.inventory.layers:
        if layer.kind.startswith("conv_transpose") and layer.groups > 1:
            raise LoweringError(
                f"layer {layer.name}: LiteRT has no transposed convolution in {layer.groups} groups: write it as one for each "
                "group, as an upsampling and a grouped convolution, or choose another target"
            )
    for node in model.program.graph.nodes:
        if any(value.is_complex() for value in _tensors(node.meta.get("val"))):
            raise LoweringError(
                f"model {model.source!r}: {node.name} is complex, which LiteRT does not know: compute real and imaginary parts "
                "apart, such as a spectrum by a convolution with sines and cosines, or choose another target"
            )


def _tensors(value: Any) -> list[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return [each for each in values if hasattr(each, "is_complex")]
