"""What a plan must stay within, and what a solution is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from sdk.errors import BadInput
from sdk.planning.options import Option, Problem
from sdk.planning.rows import Budget


@dataclass(frozen=True, slots=True)
class Limits:
    """What the plan must stay within. None: no limit.

    `max_size`: bytes of the finished file; `max_loss`: predicted loss; `max_memory`: bytes of predicted peak memory;
    `max_latency`: ms of predicted latency.
    """

    max_size: int | None = None
    max_loss: float | None = None
    max_memory: int | None = None
    max_latency: float | None = None

    @property
    def rows(self) -> dict[Budget, float]:
        """The limits on what the problem's rows sum up, and only those that are set."""
        both: dict[Budget, float | None] = {"max_memory": self.max_memory, "max_latency": self.max_latency}
        return {name: limit for name, limit in both.items() if limit is not None}

    def having(self, name: str, value: float) -> Limits:
        """The same with another `value` for the limit `name`, bytes rounded up; none where it is infinite."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        whole = name in ("max_size", "max_memory")
        return Limits(**kept | {name: None if math.isinf(value) else math.ceil(value) if whole else value})

    def check(self) -> None:
        """BadInput for a limit that is no number above zero."""
        for name, size in (("max_size", self.max_size), ("max_memory", self.max_memory)):
            if size is not None and size <= 0:
                raise BadInput(f"{name}: {size}: must be above 0 bytes")
        if self.max_loss is not None and not (math.isfinite(self.max_loss) and self.max_loss >= 0):
            raise BadInput(f"max_loss: {self.max_loss}: must be a finite number from 0 up")
        if self.max_latency is not None and not (math.isfinite(self.max_latency) and self.max_latency > 0):
            raise BadInput(f"max_latency: {self.max_latency}: must be a finite number of ms above 0")


@dataclass(frozen=True, slots=True)
class Solution:
    """One option per layer.

    `bytes` counts the finished file, base included; `loss` is what comes of the sum of the layers' losses. `price` is what
    one more byte would save of that sum at the optimum (0 where the limit does not bind). `gap` is the
    distance to the optimum that the solver could not exclude, in units of the objective: 0 when proved.
    """

    chosen: Mapping[str, Option]
    bytes: int
    loss: float
    price: float
    gap: float

    @property
    def schemes(self) -> dict[str, str]:
        """Layer → name of its scheme."""
        return {layer: option.scheme for layer, option in self.chosen.items()}


def solution_of(problem: Problem, chosen: Mapping[str, Option], price: float = 0.0, gap: float = 0.0) -> Solution:
    """Return the solution that takes the `chosen` options, in the order of the problem's layers, with their bytes as settled."""
    settled = problem.settled(chosen)
    in_order = {choices.layer: settled[choices.layer] for choices in problem.choices}
    return Solution(
        chosen=MappingProxyType(in_order),
        bytes=problem.base + sum(option.bytes for option in in_order.values()),
        loss=problem.response.loss(math.fsum(option.loss for option in in_order.values())),
        price=price,
        gap=gap,
    )
