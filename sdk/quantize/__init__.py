"""Plan × model → quantized model, and its torch reference."""

from sdk.quantize.native import NativeKernel, with_native_kernels
from sdk.quantize.quantize import quantize
from sdk.quantize.reference import as_reference, reference, reference_module
from sdk.quantize.walk import walkable

__all__ = [
    "NativeKernel", "as_reference", "quantize", "reference", "reference_module", "walkable", "with_native_kernels",
]  # fmt: skip
