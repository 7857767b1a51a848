"""The LiteRT target for a phone's GPU: float plans, and what the GPU delegate takes of the finished file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from sdk.lowering import Accelerator, Capability, Coverage, MemoryTable, Placement
from targets.tflite.target import TfliteTarget

GPU = Accelerator(
    kind="gpu", backend="gpu_delegate", title="LiteRT's GPU delegate", executed=False,
    numerics="the same file on this machine's CPU (XNNPACK)",
)  # fmt: skip


class TfliteGpu(TfliteTarget):
    """`Target` for LiteRT's GPU delegate: float weights, float inputs and outputs, the same file as on the CPU."""

    accelerator = GPU
    generates = ""

    def capabilities(self) -> Sequence[Capability]:
        """Return the documented table, read from gpu.yaml."""
        sources, rows = _table()["sources"], _table()["capabilities"]
        return tuple(
            Capability(**{**row, "kinds": tuple(row["kinds"]), "source": sources[row["source"]]}) for row in rows
        )

    def memory(self) -> MemoryTable | None:
        """Return None: nothing here runs the delegate, so nobody measured it."""
        return None

    def coverage(self, path: Path) -> Coverage:
        """Read the documented table against the file; CheckFailed when it is damaged."""
        from targets.tflite.gpu_coverage import coverage

        return coverage(path, _table()["operators"], _table()["partitions"])

    def placement(self, path: Path) -> Placement:
        """Count operators by the same table: those that the delegate takes, and those that stay on the CPU."""
        from targets.tflite.checks import checked
        from targets.tflite.gpu_coverage import read_nodes

        found = self.coverage(path)
        nodes, _ = read_nodes(checked(path), _table()["operators"])
        outside = Counter[str]()
        for each in found.outside:
            outside[each.operator] += each.count
        return Placement(found.partitions, Counter(node.operation.name for node in nodes) - outside, outside)


@cache
def _table() -> Mapping[str, Any]:
    found: dict[str, Any] = yaml.safe_load(resources.files("targets.tflite").joinpath("gpu.yaml").read_text("utf-8"))
    return found
