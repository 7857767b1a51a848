"""The null target for a pretended GPU: what a variant for an accelerator is, with no toolchain and no accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdk.lowering import Accelerator, Capability, Coverage, MemoryTable, Outside
from targets.null import container
from targets.null.placement import ACCELERATED
from targets.null.target import NullTarget

SOURCE = "targets/null/accelerated.py"


class NullGpu(NullTarget):
    """`Target` that takes float weights alone, and counts what the table of `placement.py` accelerates."""

    accelerator = Accelerator(
        kind="gpu", backend="pretended", title="a pretended GPU", executed=False, numerics="the same file in torch"
    )

    def capabilities(self) -> Sequence[Capability]:
        """Return the floats of the target's own table, as documented."""
        floats = (row for row in super().capabilities() if row.scheme in ("fp32", "fp16"))
        return tuple(replace(row, source=SOURCE, speed=None, relative_error=None) for row in floats)

    def memory(self) -> MemoryTable | None:
        """Return None: there is no such GPU."""
        return None

    def coverage(self, path: Path) -> Coverage:
        """Count one multiply-accumulate per operator, as the graph does not say how many there are."""
        graph, _ = container.read(path)
        names = [node["op"].split(".")[1] for node in graph["nodes"] if node["op"].startswith("aten.")]
        outside = [name for name in names if name not in ACCELERATED]
        return Coverage(
            macs=len(names), delegated=len(names) - len(outside), partitions=self.placement(path).delegates,
            outside=tuple(Outside(n, outside.count(n), outside.count(n), "not in the table") for n in sorted(set(outside))),
            basis="by the table of the null target",
        )  # fmt: skip
