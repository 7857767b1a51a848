"""The null target behind the Target protocol."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

import yaml

from sdk.errors import BadInput, LoweringError
from sdk.lowering.protocol import Executable, Progress
from sdk.lowering.tables import memory_table
from sdk.lowering.types import Capability, MemoryTable, Placement, Prices, Quantized, Realised, ReferenceKernels, Site, Toolchain
from sdk.models import Model
from sdk.rounding import Grid
from sdk.schemes import Scheme, scheme_named
from targets.null import container
from targets.null.container import Record
from targets.null.storing import encode, record_for, scheme_of, with_ranges


class NullTarget:
    """Stores every scheme that it lists exactly, prices it to the byte, and executes it in torch."""

    name = "null"
    artifact = "model.null"
    fallback = "fp32"
    lossless = "fp32"

    def toolchain(self) -> Toolchain:
        """Return torch alone, which the SDK itself needs."""
        return Toolchain({"torch": importlib.metadata.version("torch")}, "pip install snugfit")

    def on(self, kind: str, backend: str | None) -> NullTarget:
        """Return the variant for the pretended GPU; BadInput for other accelerators."""
        if kind == "cpu":
            return self
        if kind != "gpu":
            raise BadInput(f"target null reaches cpu and a pretended gpu, not the {kind}")
        from targets.null.accelerated import NullGpu

        return NullGpu()

    def capabilities(self) -> Sequence[Capability]:
        """Return the table in `capabilities.yaml`."""
        return _capabilities()

    def memory(self) -> MemoryTable | None:
        """Return what the runtime needs in memory, read from memory.yaml."""
        return memory_table("targets.null")

    def kernels(self) -> ReferenceKernels | None:
        """Nothing is measured: the runtime computes nothing for itself."""
        return None

    def price(self, model: Model, choices: Mapping[str, Sequence[Scheme]], min_os: float | None) -> Prices:
        """Return the exact bytes of each choice."""
        from targets.null.graph import constants, to_json

        tensors = constants(model)
        owned = {w for layer in model.inventory.layers if layer.name in choices for w in layer.weights}
        base = container.overhead(to_json(model))
        base += sum(_plain_record(n, t).size for n, t in tensors.items() if n not in owned)
        layers = {}
        for name, schemes in choices.items():
            layer = model.inventory[name]
            shapes = [tuple(tensors[w].shape) for w in layer.weights]
            layers[name] = {s.name: sum(record_for(layer, i, shape, s).size for i, shape in enumerate(shapes))
                            for s in schemes}
        return Prices(base, layers)

    def lower(self, quantized: Quantized, path: Path, min_os: float | None, progress: Progress) -> Mapping[str, Site]:
        """Write the artifact; LoweringError when the graph holds an operator that is not ATen's."""
        from targets.null.graph import constants, to_json

        progress("writing tensors")
        stored = _quantized_weights(quantized)
        tensors: list[tuple[Record, Sequence[bytes]]] = []
        for name, value in constants(quantized.model).items():
            tensors.append(stored[name] if name in stored else (_plain_record(name, value), [_plain_bytes(value)]))
        container.write(path, to_json(quantized.model), tensors)
        return {name: quantized.model.inventory[name].weights[0] for name in quantized.schemes}

    def realised(self, path: Path, sites: Mapping[str, Site]) -> Mapping[str, Realised]:
        """Read each layer's scheme and bytes from the records of the artifact."""
        _, tensors = container.read(path)
        found = {record.tensor: record for record, _ in tensors}
        out = {}
        for name, site in sites.items():
            records = [r for r in found.values() if r.layer == name] or [r for r in found.values() if r.tensor == site]
            schemes = {scheme_of(record) if record.layer else "fp32" for record in records}
            out[name] = Realised("+".join(sorted(schemes)) or "nothing", sum(sum(r.parts) for r in records))
        return out

    def placement(self, path: Path) -> Placement:
        """Count operators by the table in `placement.py`."""
        from targets.null.placement import placement

        return placement(container.read(path)[0])

    def open(self, path: Path) -> Executable:
        """Load the artifact; CheckFailed when it is damaged."""
        from targets.null.executable import NullExecutable

        return NullExecutable(path)

    def reference(self, quantized: Quantized) -> Callable[..., Any]:
        """Return the usual reference in floats, which is how the null runtime computes."""
        from sdk.quantize import reference

        return reference(quantized, dict.fromkeys(quantized.schemes, "dequantized"))


def _quantized_weights(quantized: Quantized) -> dict[str, tuple[Record, list[bytes]]]:
    stored = {}
    for name, scheme in quantized.schemes.items():
        layer = quantized.model.inventory[name]
        for i, (weight, grid) in enumerate(zip(layer.weights, quantized.grids[name], strict=True)):
            record = with_ranges(record_for(layer, i, tuple(grid.shape), scheme), layer, quantized.ranges)
            stored[weight] = (record, encode(record, _checked(grid, record)))
    return stored


def _checked(grid: Grid, record: Record) -> Grid:
    for part, wanted in ((grid.scale, record.scale), (grid.table, record.table)):
        if wanted and tuple(part.shape) != wanted:
            raise LoweringError(f"layer {record.layer}: scales or tables of shape {tuple(part.shape)}, not {wanted}")
    return grid


def _plain_record(name: str, tensor: Any) -> Record:
    return Record(name, tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))


def _plain_bytes(tensor: Any) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).numpy().tobytes()) if prod(tensor.shape) else b""


@cache
def _capabilities() -> tuple[Capability, ...]:
    rows = yaml.safe_load((files("targets.null") / "capabilities.yaml").read_text("utf-8"))["rows"]
    return tuple(
        Capability(kinds=tuple(row["kinds"]), scheme=scheme_named(name).name,
                   **{k: v for k, v in row.items() if k not in ("kinds", "schemes")})
        for row in rows for name in row["schemes"]
    )
