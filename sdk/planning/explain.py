"""Data for `sdk plan --explain LAYER`: every scheme considered, and why it was or was not taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdk.errors import BadInput
from sdk.planning.names import did_you_mean
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.plan import Plan
from sdk.planning.reasons import beaten_by, loss_text, reason
from sdk.planning.relax import relax
from sdk.planning.ties import joined
from sdk.units import format_size

Status = Literal["chosen", "beaten", "dearer", "lossier", "refused"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One scheme for the layer.

    `status`: chosen; beaten (another is no bigger and no lossier); dearer (its bytes save more loss
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


def explain(problem: Problem, plan: Plan, layer: str) -> Explanation:
    """Explain the scheme of `layer` in `plan`; BadInput names the nearest when there is no such layer."""
    names = [choices.layer for choices in problem.choices]
    scheme = plan.schemes.get(layer)
    if layer not in names or scheme is None:
        raise BadInput(f"the plan has no layer {layer!r}{did_you_mean(layer, names)}")
    choices = problem.beside(layer, plan.schemes)
    chosen = choices.option(scheme)
    if chosen is None:
        raise BadInput(f"the plan gives {layer} the scheme {scheme!r}, not allowed there: plan again")
    price = marginal_price(problem, plan.predicted.artifact_bytes)
    verdicts = [_verdict(choices, option, chosen, price, plan) for option in choices.options]
    refused = [Verdict(r.scheme, "refused", None, None, r.reason) for r in choices.refused]
    return Explanation(layer, choices.kind, scheme, price, (*verdicts, *refused))


def marginal_price(problem: Problem, size: int) -> float:
    """Return the loss that one more byte saves where the file has `size` bytes (0: nothing to save)."""
    ordered = sorted(joined(problem).choices, key=lambda choices: choices.layer)
    groups = [[(option.loss, float(option.bytes)) for option in choices.front] for choices in ordered]
    least = sum(choices.front[0].bytes for choices in ordered)
    return relax(groups, float(max(size - problem.base, least))).price


def _verdict(choices: Choices, option: Option, chosen: Option, price: float, plan: Plan) -> Verdict:
    status, why = _judge(choices, option, chosen, price, plan)
    return Verdict(option.scheme, status, option.bytes, option.loss, why)


def _judge(choices: Choices, option: Option, chosen: Option, price: float, plan: Plan) -> tuple[Status, str]:
    better = beaten_by(choices, option)
    if option == chosen:
        return "chosen", "the best exchange of bytes for loss at this size" if better is None else reason(choices, option)
    if better is not None:
        return "beaten", f"beaten by {better.scheme}: no bigger, no lossier"
    size, loss = option.bytes - chosen.bytes, chosen.loss - option.loss
    if size > 0:
        return "dearer", _dearer(size, loss, price, plan)
    return "lossier", _lossier(-size, -loss, price, plan)


def _dearer(size: int, saved: float, price: float, plan: Plan) -> str:
    trade = f"{format_size(size)} more would save {loss_text(saved)}"
    worth = price * size
    if saved < worth:
        return f"{trade}; spent elsewhere they save {loss_text(worth)}"
    if plan.objective == "smallest":
        return f"{trade}, which max_loss {plan.budgets.max_loss:g} does not need"
    limits = [name for name, limit in plan.budgets if limit is not None and name != "max_loss"]
    return f"{trade}: worth its price" + (f", but {' and '.join(limits)} left no room for it" if limits else "")


def _lossier(size: int, added: float, price: float, plan: Plan) -> str:
    trade = f"saves {format_size(size)} and adds {loss_text(added)}"
    worth = price * size
    if added > worth:
        return f"{trade}; those bytes buy back only {loss_text(worth)} elsewhere"
    if plan.objective == "smallest":
        return f"{trade}: cheap, but more than max_loss {plan.budgets.max_loss:g} has left"
    return f"{trade}: cheap, but no other layer fits what it frees"
