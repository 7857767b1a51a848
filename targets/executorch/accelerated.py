"""The ExecuTorch target for an accelerator: one backend's plans, its `.pte`, and what of it the backend takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sdk.errors import BadInput, Missing
from sdk.lowering import (
    Accelerator,
    Capability,
    Coverage,
    Executable,
    MemoryTable,
    Outside,
    Placement,
    Prices,
    Progress,
    Quantized,
    Realised,
    Site,
    Toolchain,
)
from sdk.models import Model
from sdk.schemes import Scheme
from targets.executorch.backends import find_backend
from targets.executorch.backends.backend import Backend, Closed, table_of
from targets.executorch.target import ExecutorchTarget, version_of

if TYPE_CHECKING:
    from targets.executorch.accelerated_pricing import FloatProgram

BASIS = "by the delegates in the file"


class ExecutorchAccelerated(ExecutorchTarget):
    """`Target` for one accelerator through one backend. Nothing here executes it: its file is evaluated from its bytes."""

    fallback = "fp16"
    lossless = "fp32"
    generates = ""
    unrolls = ("lstm", "gru")

    def __init__(self, backend: Backend, kind: str) -> None:
        super().__init__()
        self._backend = backend
        self._programs: dict[str, FloatProgram] = {}
        self.accelerator = Accelerator(
            kind=kind, backend=backend.name, title=backend.title, executed=False,  # type: ignore[arg-type]
            numerics=backend.evaluated_by,
        )  # fmt: skip

    def toolchain(self) -> Toolchain:
        """Say which packages are installed without importing them."""
        return Toolchain({name: version_of(name) for name in self._backend.packages}, self._backend.install)

    def capabilities(self) -> Sequence[Capability]:
        """Return the backend's documented table."""
        return _documented(self._backend.table)

    def memory(self) -> MemoryTable | None:
        """Return None: nothing here runs the backend, so nobody measured it."""
        return None

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the bytes of each choice: the float program is lowered once per model and the layers found in it."""
        from targets.executorch.accelerated_pricing import float_program, prices

        self._require()
        key = f"{model.artifact_digest} {min_os}"
        if key not in self._programs:
            self._programs = {key: float_program(model, self._backend, self.accelerator.kind, min_os)}
        return prices(model, choices, self._programs[key], lambda scheme: self._backend.overhead(scheme, min_os))

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the .pte and return where each layer is in it; LoweringError when the backend refuses."""
        from targets.executorch.lowering import lower_through
        from targets.executorch.parts import find_places
        from targets.executorch.program import open_file
        from targets.executorch.sites import sites_at

        self._require()
        progress(f"quantized graph to {self._backend.title}")
        path.write_bytes(lower_through(quantized, self._backend, self.accelerator.kind, min_os))
        progress("locate layers in the file")
        return sites_at(find_places(open_file(path), self._backend), self._stored(quantized), folded=self.fallback)

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read the scheme and stored bytes of each layer back from the file; CheckFailed when it is damaged."""
        from targets.executorch.parts import read_places
        from targets.executorch.program import open_file

        return read_places(open_file(path), self._backend, sites)

    def placement(self, path: Path) -> Placement:
        """Count the operators in the delegates and the kernel calls beside them; CheckFailed when damaged."""
        parts, outside = self._contents(path)
        inside = Counter(operator.name for part in parts for operator in part.operators)
        return Placement(len(parts), inside, Counter(operator.name for operator in outside))

    def coverage(self, path: Path) -> Coverage:
        """Add up the multiply-accumulates in the delegates and beside them; CheckFailed when damaged."""
        parts, outside = self._contents(path)
        delegated = sum(operator.macs for part in parts for operator in part.operators)
        count, macs = Counter(each.name for each in outside), Counter[str]()
        for each in outside:
            macs[each.name] += each.macs
        return Coverage(
            macs=delegated + sum(macs.values()), delegated=delegated, partitions=len(parts),
            outside=tuple(Outside(name, times, macs[name], self._backend.why_outside) for name, times in sorted(count.items())),
            basis=BASIS,
        )  # fmt: skip

    def open(self, path: Path) -> Executable:
        """Return an evaluation of the file's own bytes; CheckFailed when it is corrupt."""
        from targets.executorch.parts import open_evaluated

        self._require()
        return open_evaluated(path, self._backend, f"{self._backend.title} is not here: {self._backend.evaluated_by}")

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the torch callable with the same quantization: weights and scales as the file stores them."""
        from targets.executorch.half import half_reference

        return half_reference(self._stored(quantized))

    def _contents(self, path: Path) -> Any:
        from targets.executorch.machine import load_machine
        from targets.executorch.parts import read_parts
        from targets.executorch.program import open_file

        opened = open_file(path)
        return read_parts(opened, self._backend), load_machine(opened).outside()

    def _stored(self, quantized: Quantized) -> Quantized:
        from targets.executorch.half import half_scales

        return half_scales(quantized)

    def _require(self) -> None:
        chain = self.toolchain()
        if chain.missing:
            raise Missing(f"target executorch on the {self.accelerator.kind} needs {', '.join(chain.missing)}: {chain.install}")


class ExecutorchClosed(ExecutorchTarget):
    """A variant that cannot be made here: its toolchain says what it would need, and everything else of it is refused."""

    def __init__(self, backend: Closed, kind: str) -> None:
        super().__init__()
        self._closed = backend
        self.accelerator = Accelerator(kind, backend.name, backend.title, False, "nothing")  # type: ignore[arg-type]

    def toolchain(self) -> Toolchain:
        """Name the maker's SDK as what is missing."""
        return Toolchain({self._closed.sdk: None}, self._closed.mend)


def variant(kind: str, backend: str | None) -> ExecutorchTarget:
    """Return the target's variant for an accelerator through the backend that the device's profile names; BadInput."""
    if backend is None:
        raise BadInput(f"target executorch: the profile names no backend for the {kind}: add `backends` to it")
    found = find_backend(backend)
    if kind not in found.kinds:
        raise BadInput(f"target executorch: backend {backend} reaches the {' and '.join(found.kinds)}, not the {kind}")
    return ExecutorchClosed(found, kind) if isinstance(found, Closed) else ExecutorchAccelerated(found, kind)


@cache
def _documented(table: str) -> tuple[Capability, ...]:
    data: dict[str, Any] = yaml.safe_load(table_of(table).read_text("utf-8"))
    return tuple(
        Capability(**{**row, "kinds": tuple(row["kinds"]), "source": data["sources"][row["source"]]})
        for row in data["capabilities"]
    )
