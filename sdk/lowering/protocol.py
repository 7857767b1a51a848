"""The Target protocol: everything the SDK asks of a runtime's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sdk.lowering.types import (
    Arrays,
    Capability,
    MemoryTable,
    Placement,
    Prices,
    Quantized,
    Realised,
    ReferenceKernels,
    Site,
    Toolchain,
)
from sdk.models import Model
from sdk.schemes import Scheme

Progress = Callable[[str], None]
"""Told, in a few words, what a long step is doing."""


@runtime_checkable
class Executable(Protocol):
    """A loaded artifact."""

    runtime: str
    """Name and version of what executes it, such as `XNNPACK (executorch 1.4.1)`."""
    origin: str
    """`host` when the artifact's own runtime executes it here, `evaluator` for a reference evaluator."""

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once; arrays in the order, dtypes and shapes of the model's inputs and outputs."""
        ...


@runtime_checkable
class TokenExecutable(Executable, Protocol):
    """A loaded language model, which remembers the keys and values of the tokens that it has seen."""

    def step(self, tokens: Sequence[int], position: int) -> Any:
        """Read `tokens` (at most the model's window) at `position`, what stood there before being forgotten.

        Returns the logits behind the last one, float32 [vocabulary].
        """
        ...


@runtime_checkable
class Target(Protocol):
    """One runtime. A module `targets.<name>` (or an entry point in `sdk.targets`) exposes it as `TARGET`.

    A target that takes language models names their artifact in an attribute `generates`, such as `model.litertlm`; what it
    opens is then a `TokenExecutable`. Where there are such attributes, `generates_from` is the least OS version whose runtime
    holds them, `cache_width` the bytes of one cached number (else 4), and `unrolls` the kinds of recurrent layers whose steps
    are written out one by one. A function `stored_once(embedding, head)` says of two schemes whether a weight that is tied is
    stored once in them, and `stores_apart` whether it may be stored twice in others. `alone`: variables of the environment for a
    process that executes and does nothing else, to be set before anything heavy is imported.
    """

    name: str
    artifact: str
    """File or directory name of the artifact, such as `model.pte`."""
    fallback: str
    """Name of the scheme of a layer that is not quantized (`fp32`, or `fp16` where that is the float of the format)."""
    lossless: str
    """Name of the scheme that keeps float32 weights as exactly as the format can."""

    def toolchain(self) -> Toolchain:
        """Say which packages are installed without importing them."""
        ...

    def capabilities(self) -> Sequence[Capability]:
        """Return the measured table, read from data."""
        ...

    def memory(self) -> MemoryTable | None:
        """Return what the runtime needs in memory, read from data; None where nobody measured it."""
        ...

    def kernels(self) -> ReferenceKernels | None:
        """Return the kernels that were measured on one machine, for devices that nobody probed; None where there are none."""
        ...

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes that each choice costs in the finished file."""
        ...

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the artifact to `path` and return where each layer is in it; LoweringError when refused.

        `min_os` is None for a target none of whose capabilities names an OS version: its artifacts are for all.
        """
        ...

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read the scheme and stored bytes of each layer back from the artifact's own bytes."""
        ...

    def placement(self, path: Path) -> Placement:
        """Count the artifact's operators by where they run, from its own bytes or from its runtime."""
        ...

    def open(self, path: Path) -> Executable:
        """Load the artifact; CheckFailed when it is corrupt, Missing when the runtime is absent."""
        ...

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the torch callable with the same quantization, modelling the kernels' arithmetic.

        Takes the model's input tensors and returns a tuple of output tensors. `sdk.quantize.reference`
        is the usual answer; targets refine it.
        """
        ...


def artifact_of(target: Target, model: Model) -> str:
    """Return the file or directory name of the artifact that `target` makes of `model`."""
    spoken: str = getattr(target, "generates", "")
    return spoken if model.language is not None and spoken else target.artifact
