"""What to say where plans keep limits by their sums and none by its prediction, and of a language model that lacks memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sdk.costs import Costs
from sdk.errors import BudgetError
from sdk.models.language import Language
from sdk.pipeline.foreseeing import FIELDS
from sdk.planning import Budget, Infeasible, Limits
from sdk.planning.offers import RowsOffer, raised, shown


class NotKept(BudgetError):
    """The sums keep the limits, and no plan's prediction does.

    `ways`: what each limit would have to be for itself, and the loss that goes with it; None where that is not enough. `least`:
    the least that was predicted, by limit that was exceeded.
    """

    def __init__(
        self, limits: Limits, ways: Mapping[Budget, tuple[float, float] | None], least: Mapping[Budget, float]
    ) -> None:
        order: tuple[Budget, ...] = ("max_size", *FIELDS, "max_loss")
        held = [name for name in order if name in limits.rows or ways.get(name) is not None]
        named = " and ".join(f"{name} {shown(name, getattr(limits, name))}" for name in held)
        found = [_to(name, *way) for name in held if (way := ways.get(name)) is not None]
        said = f"{named} cannot be met{' together' if len(held) > 1 else ''}"
        if not found:
            near = [f"{name}: {raised(name, value)}" for name, value in least.items()]
            found = [f"{' and '.join(least)} (the nearest plans need of {', of '.join(near)})"]
        super().__init__(f"{said}: raise {' or '.join(found)}, or choose another target or model")
        self.limits, self.ways, self.least = limits, ways, least
        way = ways.get("max_memory")
        self.memory = way[0] if way is not None else least.get("max_memory")


def _to(name: Budget, value: float, loss: float) -> str:
    return f"{name} to {raised(name, value)}" + ("" if name == "max_loss" else f" (at a loss of {loss:.3g})")


def with_context(error: NotKept | Infeasible, limits: Limits, language: Language | None, costs: Costs) -> BudgetError:
    """Return `error`; of a language model that lacks memory, with the most tokens of context that would fit instead."""
    needed = _memory_needed(error)
    if language is None or costs.memory is None or limits.max_memory is None or needed is None:
        return error
    tokens = costs.memory.context(needed - limits.max_memory) if needed > limits.max_memory else None
    if tokens is None:
        return error
    instead = f"--context {tokens} instead of {language.context}"
    if isinstance(error, Infeasible) and isinstance(error.offer, RowsOffer):
        return Infeasible(replace(error.offer, instead=instead))
    return BudgetError(f"{error}, or {instead}")


def with_origins(error: BudgetError, origins: Mapping[str, str]) -> BudgetError:
    """Return `error`, whose sentence says of each limit that it names and nobody gave where that is from (`origins`)."""
    text = str(error)
    named = [f"{name} is {where}; --{name.replace('_', '-')} replaces it" for name, where in origins.items() if name in text]
    if named:
        error.args = (f"{text} ({', '.join(named)})",)
    return error


def _memory_needed(error: NotKept | Infeasible) -> float | None:
    """Bytes of memory that the nearest plan needs, where the error says."""
    if isinstance(error, NotKept):
        return error.memory
    found = [each for each in error.offer.limits if each.name == "max_memory"] if isinstance(error.offer, RowsOffer) else []
    return found[0].given if found and found[0].given is not None else found[0].alone if found else None
