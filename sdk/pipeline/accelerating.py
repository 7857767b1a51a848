"""Which target runs a request, and on what: the profile's accelerators against what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

from sdk.bundles import AcceleratorEntry, CoverageEntry, OutsideEntry
from sdk.devices import Accelerator, DeviceProfile, list_devices
from sdk.errors import BadInput, Missing
from sdk.lowering import Accelerated, Target, accelerate, accelerator_of
from sdk.lowering.accelerators import Kind
from sdk.lowering.discovery import find_target, ready, ready_target
from sdk.pipeline.request import Request

AUTO = "auto"
KINDS: tuple[str, ...] = get_args(Kind)


def resolve_target(request: Request, device: DeviceProfile) -> Target:
    """The target asked for, or the device's first one whose toolchain is installed, in its variant for the accelerator.

    BadInput where the profile lists no way to that accelerator, Missing where a toolchain is absent.
    """
    if request.accelerator not in (None, AUTO):
        return _accelerated(request.target, str(request.accelerator), device)
    if request.target != AUTO:
        target = find_target(request.target)
        if device.families(target.name) is None and target.name in _known():
            raise BadInput(f"target {target.name!r} does not run on {device.name}; it runs {', '.join(device.targets)}")
        return ready_target(request.target)
    return _first([partial(ready_target, name) for name in device.targets], f"device {device.name} names no target")


def _accelerated(asked: str, kind: str, device: DeviceProfile) -> Target:
    found = [each for each in device.accelerators if each.kind == kind]
    if kind not in KINDS:
        raise BadInput(f"--accelerator: {kind[:40]!r} is unknown: it is one of {', '.join((*KINDS, AUTO))}")
    if not found:
        has = ", ".join(each.kind for each in device.accelerators)
        raise BadInput(f"--accelerator {kind}: {device.name} has none: it has {has}")
    ways = {name: each for each in found for name in each.targets}
    order = [*(name for name in device.targets if name in ways), *sorted(set(ways) - set(device.targets))]
    if not order:
        raise BadInput(f"--accelerator {kind}: nothing reaches the {kind} of {device.name}: {_why(found)}")
    if asked != AUTO and asked not in ways:
        find_target(asked)
        others = " or ".join(order)
        raise BadInput(f"--accelerator {kind}: target {asked!r} does not reach the {kind} of {device.name}: use {others}")
    names = order if asked == AUTO else [asked]
    return _first([partial(_variant, name, kind, ways[name]) for name in names], "")


def _variant(name: str, kind: str, way: Accelerator) -> Target:
    backend = way.backends.get(name)
    return ready(accelerate(find_target(name), kind, backend.value if backend is not None else None))


def _first(makers: list[Callable[[], Target]], none: str) -> Target:
    """The first target whose toolchain is there; the first one's message where none is."""
    missing = []
    for make in makers:
        try:
            return make()
        except Missing as error:
            missing.append(str(error))
    raise Missing(missing[0] if missing else none)


def _why(found: list[Accelerator]) -> str:
    note = next((each.note for each in found if each.note), "").partition(". ")[0].rstrip(".")
    return note[0].lower() + note[1:] if note else "its profile lists no target for it"


def _known() -> set[str]:
    """Targets that any shipped profile names; a third party's target is not held against a profile."""
    return {name for device in list_devices() for accelerator in device.accelerators for name in accelerator.targets}


def accelerator_notes(request: Request, device: DeviceProfile, target: Target) -> list[str]:
    """What a user should hear of accelerators: what `auto` left out and why, and that an artifact cannot be executed here."""
    made_for = accelerator_of(target)
    if made_for is not None:
        where = "" if made_for.executed else f"not executed on the {made_for.kind}: nothing here runs {made_for.title}; "
        return [f"{where}numbers are those of {made_for.numerics}"] if where else []
    if request.accelerator != AUTO:
        return []
    return [_left_out(each, device, target) for each in device.accelerators if each.kind != "cpu"]


def _left_out(accelerator: Accelerator, device: DeviceProfile, target: Target) -> str:
    kind = accelerator.kind
    if not accelerator.targets:
        return f"not planned for the {kind} of {device.name}, which nothing reaches: {_why([accelerator])}"
    ways = ", ".join(sorted(accelerator.targets))
    return (
        f"planned for what {target.name} runs on by itself, not for the {kind}, which nothing here executes: "
        f"--accelerator {kind} makes a bundle for it ({ways})"
    )


def accelerator_entry(target: Target, artifact: Path) -> AcceleratorEntry | None:
    """What the manifest says of the accelerator that `artifact` was made for; CheckFailed when it is damaged."""
    made_for = accelerator_of(target)
    if made_for is None:
        return None
    return AcceleratorEntry(
        kind=made_for.kind, backend=made_for.backend, title=made_for.title, executed=made_for.executed,
        numerics=made_for.numerics, coverage=coverage_entry(target, artifact),
    )


def coverage_entry(target: Target, artifact: Path) -> CoverageEntry | None:
    """Read the artifact's coverage; None where the target has no accelerator, or its runtime alone decides."""
    found = target.coverage(artifact) if isinstance(target, Accelerated) else None
    if found is None:
        return None
    outside = tuple(
        OutsideEntry(operator=each.operator, count=each.count, macs=each.macs, why=each.why)
        for each in sorted(found.outside, key=lambda each: (-each.macs, each.operator, each.why))
    )
    return CoverageEntry(
        macs=found.macs, delegated=found.delegated, partitions=found.partitions, outside=outside, basis=found.basis
    )
