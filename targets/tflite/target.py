"""The LiteRT target: one float conversion per model, one rewrite per plan, executed by XNNPACK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.errors import BadInput, Missing
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
from sdk.lowering.tables import kernel_table, memory_table
from sdk.models import Model
from sdk.schemes import Scheme

if TYPE_CHECKING:
    from targets.tflite.convert import FloatModel
    from targets.tflite.language import Steps

PACKAGES = ("litert-torch", "ai-edge-litert", "ai-edge-quantizer")


class TfliteTarget:
    """`Target` for LiteRT (TensorFlow Lite) on the CPU."""

    name = "tflite"
    artifact = "model.tflite"
    fallback = "fp32"
    lossless = "fp32"
    generates = "model.litertlm"
    stores_apart = True

    def __init__(self) -> None:
        self._converted: dict[str, FloatModel] = {}
        self._spoken: dict[str, Steps] = {}

    def toolchain(self) -> Toolchain:
        """Say which packages are installed without importing them."""
        return Toolchain({name: _version(name) for name in PACKAGES}, "pip install 'snugfit[tflite]'")

    def on(self, kind: str, backend: str | None) -> TfliteTarget:
        """Return the variant for an accelerator; BadInput for one that LiteRT does not reach from here."""
        if kind == "cpu":
            return self
        if kind != "gpu":
            raise BadInput(f"target tflite reaches cpu and gpu; the {kind} needs its maker's own delegate and compiler")
        from targets.tflite.gpu import TfliteGpu

        return TfliteGpu()

    def capabilities(self) -> Sequence[Capability]:
        """Return the measured table, read from capabilities.yaml."""
        from targets.tflite.table import read_table

        return read_table()

    def memory(self) -> MemoryTable | None:
        """Return what the runtime needs in memory, read from memory.yaml."""
        return memory_table("targets.tflite")

    def kernels(self) -> ReferenceKernels | None:
        """Return the kernels that a probe measured, read from kernels.yaml."""
        return kernel_table("targets.tflite")

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes of each choice in the finished file.

        The float model is converted on the first call. Schemes that this model's layer cannot hold (such as 4 bits
        on a convolution that is no plain 1x1) have no price.
        """
        from targets.tflite.language import language_prices
        from targets.tflite.pricing import prices

        if model.language is not None:
            return language_prices(model, self._steps(model), choices)
        return prices(model, self._float(model), choices)

    def stored_once(self, embedding: Scheme, head: Scheme) -> bool:
        """Say whether a tied weight is stored once in these schemes."""
        from targets.tflite.language import stored_once

        return stored_once(embedding, head)

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the file to `path`; the sites are the names of the layers' weight tensors."""
        from targets.tflite.language import write_language
        from targets.tflite.lower import find_sites, write_quantized

        known = quantized.model.digest in {*self._converted, *self._spoken}
        progress("float model is converted" if known else "convert the float model")
        source = self._float(quantized.model)
        if quantized.model.language is not None:
            path.write_bytes(write_language(quantized, self._steps(quantized.model), progress))
            return find_sites(quantized, source)
        progress("rewrite per operator with AI Edge Quantizer")
        path.write_bytes(write_quantized(quantized, source))
        return find_sites(quantized, source)

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read the scheme and stored bytes of each layer back from the file; CheckFailed when it is damaged."""
        from targets.tflite.layout import read_realised

        return read_realised(path, sites)

    def placement(self, path: Path) -> Placement:
        """Ask LiteRT's interpreter which nodes XNNPACK took; CheckFailed and Missing as for `open`."""
        from targets.tflite.placement import placement

        return placement(path)

    def open(self, path: Path) -> Executable:
        """Load the file in LiteRT's interpreter; CheckFailed when it is corrupt, Missing without an interpreter."""
        from targets.tflite.graphs import SUFFIX
        from targets.tflite.run import open_file
        from targets.tflite.tokens import open_tokens

        return open_tokens(path) if path.suffix == SUFFIX else open_file(path)

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the torch callable with the same quantization and the kernels' arithmetic."""
        from targets.tflite.reference import reference

        return reference(quantized, self._float(quantized.model))

    def _float(self, model: Model) -> FloatModel:
        """The float file of `model`, or that of a language model's decode, which has every layer."""
        if model.language is not None:
            from targets.tflite.decoding import DECODE

            return self._steps(model)[DECODE].source
        self._require()
        if model.digest not in self._converted:
            from targets.tflite.convert import convert

            self._converted = {model.digest: convert(model)}
        return self._converted[model.digest]

    def _steps(self, model: Model) -> Steps:
        self._require()
        if model.artifact_digest not in self._spoken:
            from targets.tflite.language import convert_steps

            self._spoken = {model.artifact_digest: convert_steps(model)}
        return self._spoken[model.artifact_digest]

    def _require(self) -> None:
        chain = self.toolchain()
        if chain.missing:
            raise Missing(f"target tflite needs {', '.join(chain.missing)}: {chain.install}")


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
