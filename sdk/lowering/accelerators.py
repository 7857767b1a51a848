"""Accelerators that a target reaches: what its variant for one says of itself, and how that variant is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from sdk.errors import BadInput
from sdk.lowering.protocol import Target

Kind = Literal["cpu", "gpu", "npu"]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What one variant of a target is made for: the `kind` of the profile's accelerator, and the `backend` that drives it.

    `title` is what people call the backend. `executed`: what `Target.open` returns here runs on the accelerator itself.
    `numerics` says what is executed in its place, of which every measured number of the bundle is.
    """

    kind: Kind
    backend: str
    title: str
    executed: bool
    numerics: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Operators of one name that stay on the CPU: how many, their multiply-accumulates, and why."""

    operator: str
    count: int
    macs: int
    why: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the accelerator takes of a finished artifact: `delegated` of `macs` multiply-accumulates, in `partitions` parts.

    `basis` says where that is known from: the artifact's own delegates, or a documented table that was read against it.
    """

    macs: int
    delegated: int
    partitions: int
    outside: tuple[Outside, ...]
    basis: str


@runtime_checkable
class Accelerated(Target, Protocol):
    """A target's variant for one accelerator: a `Target` of the same name whose table, plans and placement are its own.

    A target that has variants says so with a method `on(kind, backend)`, which returns itself for what it runs anyway.
    """

    accelerator: Accelerator

    def coverage(self, path: Path) -> Coverage | None:
        """Return what the accelerator takes of the artifact; None where its runtime alone decides. CheckFailed when damaged."""
        ...


def accelerate(target: Target, kind: str, backend: str | None = None) -> Target:
    """Return the variant of `target` for an accelerator; BadInput when the target has no way to it."""
    make = getattr(target, "on", None)
    if make is not None:
        made: Target = make(kind, backend)
        return made
    if kind == "cpu":
        return target
    raise BadInput(f"target {target.name!r} runs on the CPU alone: --accelerator {kind} needs another target")


def accelerator_of(target: Target) -> Accelerator | None:
    """Return what the target's variant is for, or None for the target itself."""
    found: Accelerator | None = getattr(target, "accelerator", None)
    return found


def variant_of(target: Target) -> Sequence[str]:
    """Return the words that tell a variant from its target: kind and backend; nothing for the target itself."""
    found = accelerator_of(target)
    return (found.kind, found.backend) if found is not None else ()
