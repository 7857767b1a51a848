"""What changed between two bundles, layer by layer and by cause, with the bytes and the loss of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.bundles import LayerEntry, Manifest, open_bundle
from sdk.planning import Plan, parse_plan
from sdk.planning.plan import Line

MODEL, CALIBRATION, BUDGET, TARGET, TOOLS = "model weights", "calibration data", "budget", "target", "tool versions"
HAND, PLANNER = "edit by hand", "planner's choice"
_JOINT = " or "


@dataclass(frozen=True, slots=True)
class Difference:
    """One input of the packaging that differs, and the cause that it is."""

    cause: str
    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One layer whose scheme, bytes or predicted loss differ; empty scheme: it is not there. Deltas: second - first.

    `cause` names every cause that can have made the change, joined by `or`: one bundle cannot tell them apart.
    """

    layer: str
    kind: str
    old: str
    new: str
    bytes: int
    loss: float
    cause: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one cause amounts to: how many layers, bytes and predicted loss."""

    cause: str
    layers: int
    bytes: int
    loss: float


@dataclass(frozen=True, slots=True)
class BundleDiff:
    """Second bundle against the first. `bytes` and `loss` are of the artifacts, measured; the shares sum to them:
    `rest_bytes` are outside of the layers, `rest_loss` is what the layers' predicted losses do not explain (None where
    the two losses are measured differently or not known)."""

    differences: tuple[Difference, ...]
    layers: tuple[LayerChange, ...]
    causes: tuple[Share, ...]
    bytes: int
    loss: float | None
    rest_bytes: int
    rest_loss: float | None
    same: bool


def compare_bundles(first: Path, second: Path) -> BundleDiff:
    """Compare two bundles, of whatever model, device and target; errors as `open_bundle` and `parse_plan`."""
    old, new = open_bundle(first), open_bundle(second)
    plans = parse_plan(old.plan, str(first / "plan.yaml")), parse_plan(new.plan, str(second / "plan.yaml"))
    return compare(old.manifest, plans[0], new.manifest, plans[1])


def compare(old: Manifest, old_plan: Plan, new: Manifest, new_plan: Plan) -> BundleDiff:
    """Compare two manifests with their plans."""
    differences = tuple(_differences(old, old_plan, new, new_plan))
    layers = tuple(_layers(old, old_plan, new, new_plan, tuple(dict.fromkeys(d.cause for d in differences))))
    total, loss = new.artifact.bytes - old.artifact.bytes, _loss(old, new)
    rest = total - sum(change.bytes for change in layers)
    return BundleDiff(
        differences, layers, _shares(layers), total, loss, rest,
        None if loss is None else loss - sum(change.loss for change in layers),
        old.digest == new.digest or not (differences or layers or old.artifact.sha256 != new.artifact.sha256),
    )  # fmt: skip


def _differences(old: Manifest, old_plan: Plan, new: Manifest, new_plan: Plan) -> Iterable[Difference]:
    pairs: list[tuple[str, str, Any, Any]] = [
        (MODEL, "model.name", old.model.name, new.model.name),
        (MODEL, "model.digest", old.model.digest, new.model.digest),
        (TARGET, "device", old.device, new.device),
        (TARGET, "target", old.target, new.target),
        (TARGET, "min_os", old.min_os, new.min_os),
        (BUDGET, "objective", old_plan.objective, new_plan.objective),
        (CALIBRATION, "loss", old.loss, new.loss),
    ]
    for cause, part in ((BUDGET, "budgets"), (CALIBRATION, "calibration")):
        before, after = getattr(old_plan, part).model_dump(), getattr(new_plan, part).model_dump()
        pairs += [(cause, f"{part}.{key}", before[key], after[key]) for key in before]
    tools = sorted({*old.tool_versions, *new.tool_versions})
    pairs += [(TOOLS, name, old.tool_versions.get(name), new.tool_versions.get(name)) for name in tools]
    return (Difference(*pair) for pair in pairs if pair[2] != pair[3])


def _layers(
    old: Manifest, old_plan: Plan, new: Manifest, new_plan: Plan, causes: Sequence[str]
) -> Iterable[LayerChange]:
    before, after = ({layer.name: layer for layer in manifest.layers} for manifest in (old, new))
    losses = [{line.layer: line for line in plan.layers} for plan in (old_plan, new_plan)]
    for name in (*(n for n in before if n not in after), *after):
        a, b = before.get(name), after.get(name)
        lines = losses[0].get(name), losses[1].get(name)
        size = (b.bytes if b else 0) - (a.bytes if a else 0)
        loss = (lines[1].loss if lines[1] else 0.0) - (lines[0].loss if lines[0] else 0.0)
        schemes = (a.realised if a else "", b.realised if b else "")
        if schemes[0] != schemes[1] or size or loss:
            yield LayerChange(name, _kind(a, b), *schemes, size, loss, _cause(schemes, size, lines[1], causes))


def _kind(a: LayerEntry | None, b: LayerEntry | None) -> str:
    return b.kind if b else a.kind if a else ""


def _cause(schemes: tuple[str, str], size: int, line: Line | None, causes: Sequence[str]) -> str:
    """Which of the differing inputs can do this to a layer."""
    if "" in schemes:
        return MODEL
    if schemes[0] != schemes[1]:
        if line is not None and line.reason.startswith("set by hand"):
            return HAND
        return _JOINT.join(causes) or PLANNER
    able = {MODEL, TARGET, TOOLS} if size else {MODEL, CALIBRATION, TOOLS}
    return _JOINT.join(cause for cause in causes if cause in able) or PLANNER


def _shares(layers: Sequence[LayerChange]) -> tuple[Share, ...]:
    """Sum by cause, the largest first."""
    shares = []
    for cause in dict.fromkeys(change.cause for change in layers):
        own = [change for change in layers if change.cause == cause]
        shares.append(Share(cause, len(own), sum(c.bytes for c in own), sum(c.loss for c in own)))
    return tuple(sorted(shares, key=lambda share: (-abs(share.bytes), -abs(share.loss), share.cause)))


def _loss(old: Manifest, new: Manifest) -> float | None:
    values = old.measured.loss.value, new.measured.loss.value
    if old.loss != new.loss or values[0] is None or values[1] is None:
        return None
    return values[1] - values[0]
