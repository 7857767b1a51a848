"""The ExecuTorch target: XNNPACK kernels, per-layer schemes, one .pte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdk.errors import Missing
from sdk.lowering.protocol import Executable, Progress
from sdk.lowering.tables import kernel_table, memory_table
from sdk.lowering.types import Capability, MemoryTable, Placement, Prices, Quantized, Realised, ReferenceKernels, Site, Toolchain
from sdk.models import Model
from sdk.schemes import Scheme

PACKAGES = ("executorch", "torchao", "torch")


class ExecutorchTarget:
    """`Target` for ExecuTorch with the XNNPACK backend on the CPU."""

    name = "executorch"
    artifact = "model.pte"
    fallback = "fp32"
    lossless = "fp32"
    generates = "model.pte"
    stores_apart = True
    alone: Mapping[str, str] = MappingProxyType({"OMP_NUM_THREADS": "1"})
    """Attention multiplies with torch's library in each of the runtime's threads, each of which would begin more for it."""

    def __init__(self) -> None:
        self._prices: dict[str, tuple[int, Mapping[str, int]]] = {}

    def toolchain(self) -> Toolchain:
        """Say which packages are installed without importing them."""
        return Toolchain({name: version_of(name) for name in PACKAGES}, "pip install 'snugfit[executorch]'")

    def on(self, kind: str, backend: str | None) -> ExecutorchTarget:
        """Return the variant for an accelerator; BadInput for one that ExecuTorch does not reach from here."""
        if kind == "cpu":
            return self
        from targets.executorch.accelerated import variant

        return variant(kind, backend)

    def capabilities(self) -> Sequence[Capability]:
        """Return the measured table, read from capabilities.yaml."""
        from targets.executorch.table import read_table

        return read_table()

    def memory(self) -> MemoryTable | None:
        """Return what the runtime needs in memory, read from memory.yaml."""
        return memory_table("targets.executorch")

    def kernels(self) -> ReferenceKernels | None:
        """Return the kernels that a probe measured, read from kernels.yaml."""
        return kernel_table("targets.executorch")

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes of each choice in the finished .pte: the float program is lowered once per model."""
        from targets.executorch.pricing import float_size, prices
        from targets.executorch.refused import refuse_operators

        self._require()
        refuse_operators(model)
        if model.artifact_digest not in self._prices:
            self._prices = {model.artifact_digest: float_size(model)}
        return prices(model, choices, *self._prices[model.artifact_digest])

    def stored_once(self, embedding: Scheme, head: Scheme) -> bool:
        """Say whether a tied weight is stored once in these schemes."""
        from targets.executorch.sharing import stored_once

        return stored_once(embedding, head)

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the .pte and return where each layer is in it; LoweringError when the backend refuses."""
        from targets.executorch.lowering import lower_program
        from targets.executorch.program import read_program
        from targets.executorch.sites import find_sites

        self._require()
        progress("quantized graph to XNNPACK")
        path.write_bytes(lower_program(quantized))
        progress("locate layers in the file")
        return find_sites(read_program(path), quantized)

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read the scheme and stored bytes of each layer back from the file; CheckFailed when it is damaged."""
        from targets.executorch.program import read_program
        from targets.executorch.sites import read_site

        program = read_program(path)
        return {name: read_site(program, site) for name, site in sites.items()}

    def placement(self, path: Path) -> Placement:
        """Count the operators in XNNPACK's payloads and the kernel calls beside them; CheckFailed when damaged."""
        from targets.executorch.program import read_program

        program = read_program(path)
        delegated = Counter(name for payload in program.operators for name in payload)
        outside = Counter(call.operator for call in program.calls.values())
        return Placement(len(program.operators), delegated, outside)

    def open(self, path: Path) -> Executable:
        """Load the file in ExecuTorch's runtime; CheckFailed when it is corrupt, Missing without the runtime."""
        from targets.executorch.runtime import open_program

        return open_program(path, version_of("executorch"))

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the torch callable with the same quantization: scales and ranges as XNNPACK takes them.

        A language model's float operators between its layers are the runtime's own (see `native`).
        """
        from sdk.quantize import as_reference, reference, reference_module
        from targets.executorch.graph import pointwise
        from targets.executorch.packing import as_stored

        stored, language = as_stored(quantized), quantized.model.language
        if language is None:
            return reference(stored, dict.fromkeys(pointwise(quantized.model), "position"))
        from targets.executorch.native import with_own_kernels

        return as_reference(with_own_kernels(reference_module(stored), language))

    def _require(self) -> None:
        chain = self.toolchain()
        if chain.missing:
            raise Missing(f"target executorch needs {', '.join(chain.missing)}: {chain.install}")


@cache
def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
