"""The Core ML target for one accelerator: plans for it, and the compute units that a package asks to be loaded with."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sdk.lowering import Accelerator, Executable, Prices, Progress, Quantized, Site
from sdk.models import Model
from sdk.schemes import Scheme
from targets.coreml.target import CoreMLTarget

KEY = "snugfit.compute_units"
"""What the metadata calls them."""

ENTRY = 6
"""Bytes of an entry of the metadata besides its two words."""

UNITS = {"cpu": "cpuOnly", "gpu": "cpuAndGPU", "npu": "cpuAndNeuralEngine"}
"""Accelerator → `MLComputeUnits` that an app loads the package with."""

CONVERTERS = {"cpuOnly": "CPU_ONLY", "cpuAndGPU": "CPU_AND_GPU", "cpuAndNeuralEngine": "CPU_AND_NE"}
"""`MLComputeUnits` → coremltools' name of them."""

NAMES = {"cpu": "the CPU", "gpu": "the GPU", "npu": "the Neural Engine"}


class CoreMLUnits(CoreMLTarget):
    """`Target` for Core ML with the compute units of one accelerator.

    A package cannot enforce them: who loads it says so. They are in the package's metadata (`snugfit.compute_units`), and
    what macOS executes here is loaded with them. Where each operator runs within them Core ML alone decides.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._units = UNITS[kind]
        mac = sys.platform == "darwin"
        self.accelerator = Accelerator(
            kind=kind, backend=self._units, title=f"Core ML with compute units {self._units} ({NAMES[kind]})",  # type: ignore[arg-type]
            executed=False,
            numerics="the package under Core ML on this Mac" if mac else "the package's program, evaluated in float32",
        )  # fmt: skip

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the package with its compute units in the metadata; LoweringError as for the target itself."""
        from targets.coreml.package import annotate

        sites = super().lower(quantized, path, min_os, progress)
        annotate(path, KEY, self._units)
        return sites

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes that each choice costs, with those of the metadata."""
        found = super().price(model, choices, min_os)
        return replace(found, base=found.base + len(KEY) + len(self._units) + ENTRY)

    def coverage(self, path: Path) -> None:
        """Return None: Core ML alone decides which of its units runs an operator."""
        return None

    def open(self, path: Path) -> Executable:
        """Load the package with the compute units; CheckFailed and Missing as for the target itself."""
        from targets.coreml.executable import open_package

        return open_package(path, CONVERTERS[self._units])
