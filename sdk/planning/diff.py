"""What changed between two plans: header, schemes, bytes and loss, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdk.planning.plan import Line, Plan


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """One field of the header (dotted) with its value in the first and the second plan."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One layer with another scheme; deltas are second minus first."""

    layer: str
    kind: str
    old: str
    new: str
    bytes: int
    loss: float


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """Second plan against the first; `layers` in the second's order, `bytes` and `loss` in total."""

    header: tuple[HeaderChange, ...]
    layers: tuple[LayerChange, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    bytes: int
    loss: float

    @property
    def same(self) -> bool:
        """True when the two plans choose alike and say alike of themselves (reasons are not compared)."""
        return not (self.header or self.layers or self.only_first or self.only_second)


def diff(first: Plan, second: Plan) -> PlanDiff:
    """Compare two plans, of whatever model, device and target."""
    before = {line.layer: line for line in first.layers}
    after = {line.layer: line for line in second.layers}
    return PlanDiff(
        header=_header(first, second),
        layers=tuple(
            _change(before[layer], line)
            for layer, line in after.items()
            if layer in before and before[layer].scheme != line.scheme
        ),
        only_first=tuple(layer for layer in before if layer not in after),
        only_second=tuple(layer for layer in after if layer not in before),
        bytes=second.predicted.artifact_bytes - first.predicted.artifact_bytes,
        loss=second.predicted.loss - first.predicted.loss,
    )


def _change(old: Line, new: Line) -> LayerChange:
    return LayerChange(
        layer=new.layer,
        kind=new.kind,
        old=old.scheme,
        new=new.scheme,
        bytes=new.bytes - old.bytes,
        loss=new.loss - old.loss,
    )


def _header(first: Plan, second: Plan) -> tuple[HeaderChange, ...]:
    old, new = _flat(first), _flat(second)
    return tuple(HeaderChange(field, old[field], new[field]) for field in old if old[field] != new[field])


def _flat(plan: Plan) -> dict[str, Any]:
    """The header as dotted field → value."""
    found: dict[str, Any] = {}
    for field, value in plan.model_dump(mode="json", exclude={"layers"}).items():
        if isinstance(value, dict):
            found |= {f"{field}.{key}": inner for key, inner in value.items()}
        else:
            found[field] = value
    return found
