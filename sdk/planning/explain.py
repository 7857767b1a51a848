"""Data for `sdk plan --explain LAYER`: every scheme considered, and why it was or was not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sdk.errors import BadInput
from sdk.planning.limits import Limits
from sdk.planning.names import did_you_mean
from sdk.planning.objectives import all_objectives
from sdk.planning.offers import shown
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.plan import Plan
from sdk.planning.reasons import beaten_by, loss_text
from sdk.planning.relax import relax
from sdk.planning.rows import Budget, need
from sdk.planning.ties import joined
from sdk.units import format_size

Status = Literal["chosen", "beaten", "over", "costlier", "dearer", "lossier", "refused"]

Needs = Callable[[Mapping[str, str]], Mapping[Budget, float]]
"""Layer → scheme: what such a plan needs, bytes of memory and ms of latency, of what is known."""

ROOMY = 0.9
"""Share of max_size below which a plan is not what it is for want of bytes."""

SAID: dict[Budget, str] = {"max_memory": "memory", "max_latency": "latency"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One scheme for the layer.

    `status`: chosen; over (with it the plan exceeds a limit on memory or latency); costlier (with it the plan needs more of
    what the objective makes least); beaten (another is no bigger and no lossier); dearer (its bytes save more loss
    elsewhere); lossier (its saving costs more loss than it buys elsewhere); refused (`bytes` and `loss`
    are None where unknown). `why` says it in words.
    """

    scheme: str
    status: Status
    bytes: int | None
    loss: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One layer of a plan: `verdicts` by bytes, the refused last by name.

    `price` is the loss that one more byte saves anywhere in the model at the plan's size: the rate of
    exchange that decides between schemes.
    """

    layer: str
    kind: str
    chosen: str
    price: float
    verdicts: tuple[Verdict, ...]


def explain(problem: Problem, plan: Plan, layer: str, needs: Needs | None = None) -> Explanation:
    """Explain the scheme of `layer` in `plan`; BadInput names the nearest when there is no such layer.

    `needs` predicts plans; without it they need what the problem's rows sum up.
    """
    names = [choices.layer for choices in problem.choices]
    scheme = plan.schemes.get(layer)
    if layer not in names or scheme is None:
        raise BadInput(f"the plan has no layer {layer!r}{did_you_mean(layer, names)}")
    choices = problem.beside(layer, plan.schemes)
    chosen = choices.option(scheme)
    if chosen is None:
        raise BadInput(f"the plan gives {layer} the scheme {scheme!r}, not allowed there: plan again")
    price = marginal_price(problem, plan.predicted.artifact_bytes)
    swaps = _Swaps(plan, choices, chosen, needs or _summed(problem))
    verdicts = [_verdict(swaps, option, price) for option in choices.options]
    refused = [Verdict(r.scheme, "refused", None, None, r.reason) for r in choices.refused]
    return Explanation(layer, choices.kind, scheme, price, (*verdicts, *refused))


def _summed(problem: Problem) -> Needs:
    """What the rows of a problem sum up."""
    def needs(schemes: Mapping[str, str]) -> dict[Budget, float]:
        found = {name: need(problem.rows, name, schemes) for name in SAID}
        return {name: value for name, value in found.items() if value is not None}

    return needs


def marginal_price(problem: Problem, size: int) -> float:
    """Return the loss that one more byte saves where the file has `size` bytes (0: nothing to save)."""
    ordered = sorted(joined(problem).choices, key=lambda choices: choices.layer)
    groups = [[(option.loss, float(option.bytes)) for option in choices.front] for choices in ordered]
    least = sum(choices.front[0].bytes for choices in ordered)
    return relax(groups, float(max(size - problem.base, least))).price


class _Swaps:
    """The plan with another scheme for the one layer: what it then needs, against its limits and its objective."""

    def __init__(self, plan: Plan, choices: Choices, chosen: Option, needs: Needs) -> None:
        self.plan, self.choices, self.chosen = plan, choices, chosen
        found = all_objectives().get(plan.objective)
        least = found.minimise if found is not None else "loss"
        self.least: Budget | None = least if least == "max_memory" or least == "max_latency" else None
        budgets = plan.budgets
        self._limits = Limits(max_memory=budgets.max_memory, max_latency=budgets.max_latency).rows
        self._needs = needs
        self._matter = bool(self._limits) or self.least is not None
        self._now = needs(plan.schemes) if self._matter else {}

    def cost(self, option: Option) -> tuple[Status, str] | None:
        """Why the option is out by memory or latency, or None where it is not."""
        if not self._matter or option == self.chosen:
            return None
        found = self._with(option)
        over = [
            f"{_short(name, found[name])} of {SAID[name]}, above {name} {shown(name, limit)}"
            for name, limit in self._limits.items() if found.get(name, 0.0) > limit
        ]
        if over:
            return "over", f"with it the plan needs {' and '.join(over)}"
        if self.least is not None and found[self.least] > self._now[self.least]:
            more = _short(self.least, found[self.least] - self._now[self.least])
            return "costlier", f"{more} of {SAID[self.least]} more, of which the objective {self.plan.objective} wants the least"
        return None

    def kept(self, option: Option) -> str:
        """What the plan needs with an option that is not out by that, in words."""
        found = self._with(option)
        names = [name for name in SAID if name in self._limits or name == self.least]
        return " and ".join(f"{_short(name, found[name])} of {SAID[name]}" for name in names)

    def _with(self, option: Option) -> Mapping[Budget, float]:
        return self._needs({**self.plan.schemes, self.choices.layer: option.scheme})


def _short(name: Budget, value: float) -> str:
    return shown(name, value) if name == "max_latency" else format_size(round(value))


def _verdict(swaps: _Swaps, option: Option, price: float) -> Verdict:
    status, why = _judge(swaps, option, price)
    return Verdict(option.scheme, status, option.bytes, option.loss, why)


def _judge(swaps: _Swaps, option: Option, price: float) -> tuple[Status, str]:
    chosen, plan = swaps.chosen, swaps.plan
    better = beaten_by(swaps.choices, option)
    cost = swaps.cost(option)
    if option == chosen:
        return "chosen", _chosen(swaps, better)
    if cost is not None:
        return cost
    if better is not None and swaps.cost(better) is None:
        return "beaten", f"beaten by {better.scheme}: no bigger, no lossier"
    size, loss = option.bytes - chosen.bytes, chosen.loss - option.loss
    if size <= 0 and loss >= 0:  # only what memory and latency are predicted to be led to the plan, and that is no proof
        return "costlier", f"no bigger, no lossier, with {swaps.kept(option)}: no better plan was found with it"
    if swaps.least is not None:
        return ("dearer" if size > 0 else "lossier"), _as_little(size, loss, swaps)
    if size > 0:
        return "dearer", _dearer(size, loss, price, plan)
    return "lossier", _lossier(-size, -loss, price, plan)


def _chosen(swaps: _Swaps, better: Option | None) -> str:
    if better is None:
        return "the best exchange of bytes for loss at this size"
    cost = swaps.cost(better)
    why = cost[1] if cost is not None else "no better plan was found with it"
    return f"{better.scheme} is no bigger and no lossier, but {why}"


def _as_little(size: int, saved: float, swaps: _Swaps) -> str:
    """An option with which the plan needs no more of what the objective makes least: the loss decides, or its bytes."""
    said = f"needs no more {SAID[swaps.least or 'max_memory']}"
    if saved < 0:
        return f"{said} and adds {loss_text(-saved)}: of plans that need about as little, the least lossy is taken"
    return f"{said} and saves {loss_text(saved)}, but {format_size(size)} more do not fit max_size"


def _dearer(size: int, saved: float, price: float, plan: Plan) -> str:
    trade = f"{format_size(size)} more would save {loss_text(saved)}"
    worth = price * size
    if saved < worth:
        return f"{trade}; spent elsewhere they save {loss_text(worth)}"
    if plan.objective == "smallest":
        return f"{trade}, which max_loss {plan.budgets.max_loss:g} does not need"
    return f"{trade}: worth its price" + (", but max_size left no room for it" if plan.budgets.max_size is not None else "")


def _lossier(size: int, added: float, price: float, plan: Plan) -> str:
    trade = f"saves {format_size(size)} and adds {loss_text(added)}"
    worth, most = price * size, plan.budgets.max_size
    if plan.objective != "smallest" and (most is None or plan.predicted.artifact_bytes < ROOMY * most):
        return f"{trade}; no limit asks for those bytes"
    if added > worth:
        return f"{trade}; those bytes buy back only {loss_text(worth)} elsewhere"
    if plan.objective == "smallest":
        return f"{trade}: cheap, but more than max_loss {plan.budgets.max_loss:g} has left"
    return f"{trade}: cheap, but no other layer fits what it frees"
