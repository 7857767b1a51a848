"""The border between the SDK and the runtimes: the Target protocol and its data."""

from sdk.lowering.protocol import Executable, Progress, Target, TokenExecutable
from sdk.lowering.types import (
    Capability,
    Copies,
    MemoryTable,
    Placement,
    Prices,
    Quantized,
    Range,
    Realised,
    ReferenceKernels,
    Site,
    Toolchain,
)

__all__ = [
    "Capability", "Copies", "Executable", "MemoryTable", "Placement", "Prices", "Progress", "Quantized", "Range", "Realised",
    "ReferenceKernels", "Site", "Target", "TokenExecutable", "Toolchain",
]  # fmt: skip
