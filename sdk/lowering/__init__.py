"""The border between the SDK and the runtimes: the Target protocol and its data."""

from sdk.lowering.accelerators import Accelerated, Accelerator, Coverage, Outside, accelerate, accelerator_of, variant_of
from sdk.lowering.protocol import Executable, Progress, Target, TokenExecutable, artifact_of
from sdk.lowering.types import (
    Capability,
    Copies,
    MemoryTable,
    Operators,
    Placement,
    Prices,
    Quantized,
    Range,
    Realised,
    ReferenceKernels,
    Site,
    Speaking,
    Toolchain,
)

__all__ = [
    "Accelerated", "Accelerator", "Capability", "Copies", "Coverage", "Executable", "MemoryTable", "Operators",
    "Outside", "Placement", "Prices", "Progress", "Quantized", "Range", "Realised", "ReferenceKernels", "Site", "Speaking",
    "Target", "TokenExecutable", "Toolchain", "accelerate", "accelerator_of", "artifact_of", "variant_of",
]  # fmt: skip
