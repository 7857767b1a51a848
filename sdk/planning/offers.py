"""What to say when limits on memory or latency cannot be met: which one binds, and what each would have to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdk.units import format_size, parse_size

NAMES = ("max_size", "max_memory", "max_latency", "max_loss")
"""Limits in the order in which a person is told to give way."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit that was asked for: `value`, the least that any plan needs of it, and the least with the other limits kept.

    Bytes, ms (`max_latency`) or loss; `given` is None where the other limits cannot be met together. `loss`: the least that a
    plan loses where this limit is `given`, or `alone` where no plan keeps the others either. `besides`: what further limits have
    to be where this one is `given`.
    """

    name: str
    value: float
    alone: float | None
    given: float | None
    loss: float | None = None
    besides: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RowsOffer:
    """What is possible where the limits are not."""

    limits: tuple[Limit, ...]
    instead: str = ""
    """What the user could give way on besides the limits, in words."""
    together: float | None = None
    """Where raising one limit is not enough: times which all of them can be met."""

    @property
    def binding(self) -> tuple[str, ...]:
        """The limits that no plan at all meets; where each can be met for itself, all of them."""
        hopeless = tuple(each.name for each in self.limits if each.alone is not None and each.alone > each.value)
        return hopeless or tuple(each.name for each in self.limits)

    @property
    def missing_bytes(self) -> int:
        """How many bytes above `max_size` the nearest plan needs (0 where there is no such limit)."""
        found = [each for each in self.limits if each.name == "max_size" and each.given is not None]
        return max(0, math.ceil((found[0].given or 0) - found[0].value)) if found else 0

    @property
    def best_loss(self) -> float:
        """The least loss that the other limits leave; infinite where they cannot be met or none was asked for."""
        found = [each.given for each in self.limits if each.name == "max_loss" and each.given is not None]
        return found[0] if found else math.inf

    def sentence(self) -> str:
        """Say it in one sentence for a person."""
        return f"{self._said()}, or {self.instead}" if self.instead else self._said()

    def _said(self) -> str:
        by_name = {each.name: each for each in self.limits}
        hopeless = [each for each in self.limits if each.alone is not None and each.alone > each.value]
        if hopeless:
            said = "; ".join(
                f"{each.name} {shown(each.name, each.value)} cannot be met: no plan needs less than "
                f"{raised(each.name, each.alone or 0)}{_loses(each)}" for each in hopeless
            )  # fmt: skip
            besides = {name: value for each in hopeless for name, value in each.besides}
            names = [*(each.name for each in hopeless), *(f"{name} to {raised(name, value)}" for name, value in besides.items())]
            return f"{said}; raise {' and '.join(names)}, or choose another target or model"
        named = " and ".join(f"{each.name} {shown(each.name, each.value)}" for each in self.limits)
        ways = [f"{n} to at least {raised(n, each.given)}{_costs(each)}" for n, each in by_name.items() if each.given is not None]
        if ways:
            return f"{named} cannot be met together: raise {' or '.join(ways)}"
        every = ", ".join(f"{name} to {raised(name, each.value * (self.together or 0))}" for name, each in by_name.items())
        least = ", ".join(f"{name} {raised(name, each.alone)}" for name, each in by_name.items() if each.alone is not None)
        by = f"all by {self.together - 1:.0%} ({every}), or " if self.together is not None else ""
        return (
            f"{named} cannot be met together, nor when one of them is raised: raise {by}two or more of them "
            f"(each for itself can be as little as: {least}), or choose another target or model"
        )


def _costs(limit: Limit) -> str:
    """What a limit as it would have to be costs in further limits and in quality, in words."""
    return "".join(f" and {name} to {raised(name, value)}" for name, value in limit.besides) + _loses(limit)


def _loses(limit: Limit) -> str:
    return "" if limit.loss is None else f" (at a loss of {limit.loss:.3g})"


def shown(name: str, value: float) -> str:
    """Show a limit's value in its unit; bytes that the unit rounds away are told."""
    if name == "max_latency":
        return f"{value:.3g} ms"
    if name == "max_loss":
        return f"{value:.3g}"
    short = format_size(round(value))
    return short if parse_size(short) == round(value) else f"{short} ({round(value):,} bytes)"


def raised(name: str, value: float) -> str:
    """Show a value so that a limit of just that much can be met: rounded up."""
    if name in ("max_latency", "max_loss"):
        text = f"{value:.3g}" if float(f"{value:.3g}") >= value else f"{value * 1.005:.3g}"
        return text + (" ms" if name == "max_latency" else "")
    return f"{format_size(round(value))} ({math.ceil(value):,} bytes)"
