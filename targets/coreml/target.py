"""The `coreml` target: ML programs for iOS 16, 17 and 18."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed, LoweringError, SdkError
from sdk.lowering import (
    Capability,
    Executable,
    MemoryTable,
    Placement,
    Prices,
    Progress,
    Quantized,
    Realised,
    ReferenceKernels,
    Site,
    Toolchain,
)
from sdk.models import Model
from sdk.schemes import Scheme

KEPT = 4
"""How many converted models stay in memory."""


class CoreMLTarget:
    """Core ML packages (`.mlpackage`).

    The float of the format is float16: weights that are not quantized, biases and constants are stored in it.
    `min_os` chooses the deployment target: 16, 17 or 18 (None and newer: 18).
    """

    name = "coreml"
    artifact = "model.mlpackage"
    fallback = "fp16"
    lossless = "fp16"
    generates = "model.mlpackage"
    generates_from = 18
    cache_width = 2
    stores_apart = False
    unrolls = ("gru",)

    def __init__(self) -> None:
        self._programs: dict[tuple[str, int], Any] = {}

    def toolchain(self) -> Toolchain:
        """Say which packages are installed without importing them."""
        return Toolchain({"coremltools": _version("coremltools")}, "pip install 'snugfit[coreml]'")

    def on(self, kind: str, backend: str | None) -> CoreMLTarget:
        """Return the variant that asks Core ML for the compute units of an accelerator."""
        from targets.coreml.units import CoreMLUnits

        return CoreMLUnits(kind)

    def capabilities(self) -> Sequence[Capability]:
        """Return the measured table, read from data."""
        return _capabilities()

    def memory(self) -> MemoryTable | None:
        """Return None: nothing here runs Core ML, so nobody measured it."""
        return None

    def kernels(self) -> ReferenceKernels | None:
        """Nothing is measured: only a Mac or an iPhone runs the packages."""
        return None

    def stored_once(self, embedding: Scheme, head: Scheme) -> bool:
        """Say whether a tied weight is stored once in these schemes."""
        return embedding == head

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes that each choice costs; choices that a layer's shape forbids are left out."""
        from targets.coreml.lowering import price

        return price(model, self._converted(model, min_os), choices)

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the package; LoweringError when coremltools refuses the model or a layer its scheme."""
        from targets.coreml.lowering import write

        progress("converting to an ML program")
        program = self._converted(quantized.model, min_os)
        progress("writing compressed weights")
        try:
            return write(quantized, program, path)
        except (SdkError, OSError):
            raise
        except Exception as error:
            raise LoweringError(f"coreml: the plan cannot be written: {type(error).__name__}: {error}") from error

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read the scheme and stored bytes of each layer back from the package's own bytes."""
        from targets.coreml.contents import open_contents

        contents = open_contents(path)
        try:
            return {layer: _realised(contents, layer, site) for layer, site in sites.items()}
        except SdkError:
            raise
        except Exception as error:
            raise CheckFailed(f"{path.name}: the weights cannot be read back: {type(error).__name__}: {error}") from error

    def placement(self, path: Path) -> Placement:
        """Count the program's operators, constants left out; Core ML alone decides on which unit each runs."""
        from targets.coreml.contents import open_contents
        from targets.coreml.program import walk

        types = [str(op.type) for op in walk(open_contents(path).block)]
        return Placement(unknown=Counter(name for name in types if name != "const" and not name.startswith("constexpr_")))

    def open(self, path: Path) -> Executable:
        """Load the package; CheckFailed when it is corrupt, Missing when the evaluator lacks an operation."""
        from targets.coreml.executable import open_package

        return open_package(path)

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the torch callable with the same weights: everything not quantized rounded to float16."""
        import torch

        from sdk.quantize import reference_module
        from targets.coreml.decoding import as_kept
        from targets.coreml.sharing import as_stored

        quantized = as_stored(quantized)
        module = reference_module(quantized)
        planned = {w for layer in quantized.model.inventory.layers if layer.name in quantized.grids for w in layer.weights}
        if quantized.model.language is not None:
            as_kept(module, quantized.model.language, planned)
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if name not in planned and tensor.is_floating_point() and float(tensor.detach().abs().amax()) < 65504:
                tensor.data = tensor.data.half().float()

        def run(*inputs: Any) -> tuple[Any, ...]:
            with torch.no_grad():
                return tuple(module(*inputs))

        return run

    def _converted(self, model: Model, min_os: float | None) -> Any:
        """The float program of a model for a deployment target, converted once."""
        from targets.coreml.convert import convert
        from targets.coreml.toolkit import ios

        key = (model.artifact_digest, ios(min_os))
        if key not in self._programs:
            while len(self._programs) >= KEPT:
                self._programs.pop(next(iter(self._programs)))
            self._programs[key] = convert(model, key[1])
        return self._programs[key]


def _realised(contents: Any, layer: str, site: str) -> Realised:
    from targets.coreml.contents import scheme_name, stored
    from targets.coreml.sharing import SHARED

    if not site:
        return Realised("fp16", 0)
    names = site.removeprefix(SHARED).split(",")
    lost = [name for name in names if name not in contents.producers]
    if lost:
        raise CheckFailed(f"layer {layer!r}: the package has no constant {lost[0]!r}")
    found = sorted({scheme_name(contents, contents.producers[name]) for name in names})
    own = [] if site.startswith(SHARED) else names
    return Realised("+".join(found), sum(stored(contents, contents.producers[name]) for name in own))


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _capabilities() -> tuple[Capability, ...]:
    import yaml

    text = Path(__file__).with_name("capabilities.yaml").read_text()
    rows = yaml.safe_load(text)["rows"]
    return tuple(Capability(**{**row, "kinds": tuple(row["kinds"])}) for row in rows)


TARGET = CoreMLTarget()
