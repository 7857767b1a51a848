"""Plan × model → quantized model, and its torch reference."""

from sdk.quantize.quantize import quantize
from sdk.quantize.reference import reference, reference_module
from sdk.quantize.walk import walkable

__all__ = ["quantize", "reference", "reference_module", "walkable"]
