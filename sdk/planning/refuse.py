"""What to say when limits cannot be met: which one binds, and what would have to give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sdk.errors import BudgetError
from sdk.planning.offers import RowsOffer
from sdk.planning.options import Option, Problem
from sdk.schemes import all_schemes
from sdk.units import format_size

Binding = Literal["max_size", "max_loss", "both"]

MUCH = 0.2
"""Share of the smallest file from which on layers that stay in floats are named."""


class Point(Protocol):
    """A size in bytes and the loss that goes with it."""

    @property
    def bytes(self) -> int: ...
    @property
    def loss(self) -> float: ...


@dataclass(frozen=True, slots=True)
class CounterOffer:
    """What is possible where the limits are not.

    `binding`: the limit that no plan meets, or `both` when each alone could be met. Sizes are bytes of
    the finished file. `smallest_size` comes with `smallest_loss`; `best_loss`, the least that any plan
    loses, costs `best_size` (that is the loss-free size when `best_loss` is 0). When both bind:
    `loss_at_size` is the least loss within `max_size`, `size_at_loss` the fewest bytes within `max_loss`.
    """

    binding: Binding
    max_size: int | None
    max_loss: float | None
    smallest_size: int
    smallest_loss: float
    best_size: int
    best_loss: float
    loss_at_size: float | None = None
    size_at_loss: int | None = None
    floats: str = ""
    """What of the smallest file are layers that no scheme makes smaller than floats, in words."""

    @property
    def missing_bytes(self) -> int:
        """How many bytes above `max_size` the nearest plan needs (0 where size does not bind)."""
        needed = self.size_at_loss if self.binding == "both" else self.smallest_size
        return max((needed or 0) - (self.max_size or 0), 0) if self.max_size is not None else 0

    def sentence(self) -> str:
        """Say it in one sentence for a person."""
        free = f"{_size(self.best_size)} {_how_lossy(self.best_loss)}"
        small = f"{_size(self.smallest_size)} at a loss of {self.smallest_loss:.3g}"
        if self.binding == "max_size":
            return (
                f"max_size {_size(self.max_size or 0)} cannot be met: the smallest possible file is {small}, "
                f"{self.missing_bytes:,} bytes more{self.floats}, and {free}; raise max_size or choose another target"
            )
        if self.binding == "max_loss":
            return (
                f"max_loss {self.max_loss:.3g} cannot be met: the least possible loss is "
                f"{self.best_loss:.3g} at {_size(self.best_size)}, and the "
                f"smallest file is {small}; raise max_loss"
            )
        return (
            f"max_size {_size(self.max_size or 0)} and max_loss {self.max_loss:.3g} cannot both be met: "
            f"raise max_loss to {_ceiling(self.loss_at_size or 0.0)} or "
            f"max_size by {self.missing_bytes:,} bytes to {_size(self.size_at_loss or 0)} "
            f"(the smallest file is {small}, and {free})"
        )


Offer = CounterOffer | RowsOffer


class Infeasible(BudgetError):
    """No plan is within the limits; `offer` holds what is possible instead.

    It may be given as what makes it: to find it takes several solutions, and of limits that are only tried nobody asks for it.
    """

    def __init__(self, offer: Offer | Callable[[], Offer]) -> None:
        super().__init__()
        self._offer = offer

    @property
    def offer(self) -> Offer:
        if callable(self._offer):
            self._offer = self._offer()
        return self._offer

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.offer.sentence()  # who knows for whom it is says more

    def __reduce__(self) -> tuple[type[Infeasible], tuple[Offer], dict[str, Any]]:
        return Infeasible, (self.offer,), {"args": self.args}


def counter_offer(
    problem: Problem,
    max_size: int | None,
    max_loss: float | None,
    alone: tuple[Point | None, Point | None] = (None, None),
) -> CounterOffer:
    """Return what is possible for `problem` when the limits are not.

    `alone`: the least lossy plan within `max_size` alone and the smallest within `max_loss` alone, where
    each exists.
    """
    small = [choices.front[0] for choices in problem.choices]
    best = [choices.front[-1] for choices in problem.choices]
    smallest_size, best_loss = _bytes(problem, small), _loss(problem, best)
    binding: Binding = "both"
    if max_size is not None and smallest_size > max_size:
        binding = "max_size"
    elif max_loss is not None and best_loss > max_loss:
        binding = "max_loss"
    at_size, at_loss = alone if binding == "both" else (None, None)
    return CounterOffer(
        binding=binding,
        max_size=max_size,
        max_loss=max_loss,
        smallest_size=smallest_size,
        smallest_loss=_loss(problem, small),
        best_size=_bytes(problem, best),
        best_loss=best_loss,
        loss_at_size=at_size.loss if at_size else None,
        size_at_loss=at_loss.bytes if at_loss else None,
        floats=_floats(problem, small, smallest_size),
    )


def _floats(problem: Problem, small: list[Option], size: int) -> str:
    """Name the layers that are floats even in the smallest file, where they are MUCH of it; the largest one to ask about."""
    floats = {name for name, scheme in all_schemes().items() if scheme.format == "float"}
    found = [(o.bytes, choices) for choices, o in zip(problem.choices, small, strict=True) if o.scheme in floats]
    held = sum(size for size, _ in found)
    if not held or held < MUCH * size:
        return ""
    kinds = " and ".join(sorted({choices.kind for _, choices in found}))
    largest = max(found, key=lambda each: each[0])[1].layer
    layers = f"{len(found)} {kinds} layer{'s' if len(found) > 1 else ''}"
    return f" ({format_size(held)} of it {layers} that stay in floats: `sdk plan --explain {largest}` says why)"


def _bytes(problem: Problem, options: list[Option]) -> int:
    return problem.base + sum(option.bytes for option in options)


def _loss(problem: Problem, options: list[Option]) -> float:
    return problem.response.loss(math.fsum(option.loss for option in options))


def _how_lossy(loss: float) -> str:
    return "is loss-free" if loss == 0 else f"has the least loss, {loss:.3g}"


def _ceiling(loss: float) -> str:
    """Three significant digits, never below `loss`: a limit of that much can be met."""
    shown = f"{loss:.3g}"
    return shown if float(shown) >= loss else f"{loss * 1.005:.3g}"


def _size(size: int) -> str:
    return f"{format_size(size)} ({size:,} bytes)"
