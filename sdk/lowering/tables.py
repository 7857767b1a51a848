"""Reads the measured tables that lie beside a target as YAML."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

from sdk.devices import Kernels
from sdk.lowering.types import Copies, MemoryTable, Operators, ReferenceKernels, Speaking

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def kernel_table(package: str) -> ReferenceKernels | None:
    """Return what `kernels.yaml` in the package of a target says, or None where there is none."""
    file = resources.files(package).joinpath("kernels.yaml")
    if not file.is_file():
        return None
    data: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    machine = data.pop("machine")
    return ReferenceKernels(machine["core"], machine["mhz"], machine["threads"], Kernels.model_validate(data))


@cache
def measured_with(package: str) -> dict[str, str]:
    """Return package → version that `capabilities.yaml` in the package of a target was measured with, where it says."""
    file = resources.files(package).joinpath("capabilities.yaml")
    if not file.is_file():
        return {}
    found: dict[str, str] = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader).get("measured_with", {})
    return found


@cache
def memory_table(package: str) -> MemoryTable | None:
    """Return what `memory.yaml` in the package of a target says, or None where there is none."""
    file = resources.files(package).joinpath("memory.yaml")
    if not file.is_file():
        return None
    data: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)
    copies = _copies(data.pop("copies"))
    kinds: dict[str, Any] = data.pop("operators")
    plain: dict[str, Any] = {name: tuple(found) if isinstance(found, list) else found for name, found in kinds.items()}
    operators = Operators(**plain)
    error = tuple(data.pop("error"))
    spoken: dict[str, Any] | None = data.pop("language", None)
    language = None
    if spoken is not None:
        inside, rows = tuple(spoken.pop("inside")), _copies(spoken.pop("copies", []))
        language = Speaking(inside=inside, copies=rows, **spoken)
    return MemoryTable(operators=operators, error=error, copies=copies, language=language, **data)


def _copies(rows: list[dict[str, Any]]) -> tuple[Copies, ...]:
    return tuple(Copies(kinds=tuple(row.pop("kinds")), **row) for row in rows)
