"""Checks a plan that people may have edited against what is possible now, and counts it again."""

from __future__ import annotations

from sdk.errors import BadInput, BudgetError
from sdk.planning.limits import Limits, solution_of
from sdk.planning.names import did_you_mean
from sdk.planning.options import Choices, Option, Problem
from sdk.planning.plan import Facts, Line, Plan, corrected, make_plan, significant
from sdk.planning.reasons import reason
from sdk.planning.ties import check_ties
from sdk.units import format_size


def revalidate(plan: Plan, problem: Problem, facts: Facts, source: str = "the plan") -> Plan:
    """Return `plan` with bytes, loss, predictions and reasons as they are for `problem` and `facts`.

    BadInput when it was made for another model or target, names a layer that is not there, leaves one
    out, or asks for a scheme that the layer may not take. BudgetError when the edited plan exceeds the
    limits in its own header; what its layers were measured to do to each other is taken to hold for the edited plan
    too. `source` names the plan in errors.
    """
    _check_header(plan, facts, source)
    _check_layers(plan, problem, source)
    check_ties(problem, plan.schemes, source)
    lines = {line.layer: line for line in plan.layers}
    solution = solution_of(problem, {c.layer: _option(c, lines[c.layer], source) for c in problem.choices})
    interaction = plan.predicted.interaction
    made = make_plan(
        facts,
        problem,
        solution,
        limits_in(plan),
        plan.objective,
        {c.layer: _reason(c, lines[c.layer], solution.chosen[c.layer]) for c in problem.choices},
    )
    found = corrected(made, interaction)
    _check_budgets(plan, solution.bytes, found.predicted.loss, source)
    return found


def limits_in(plan: Plan) -> Limits:
    """Return the limits in a plan's header."""
    found = plan.budgets
    return Limits(found.max_size, found.max_loss, found.max_memory, found.max_latency)


def _check_header(plan: Plan, facts: Facts, source: str) -> None:
    if plan.model.digest != facts.digest:
        raise BadInput(
            f"{source}: model.digest: {plan.model.digest[:19]}: is of another model "
            f"({plan.model.name}) than {facts.model} ({facts.digest[:19]}): plan this model with `sdk plan`"
        )
    if plan.target != facts.target:
        raise BadInput(
            f"{source}: target: {plan.target}: not the wanted {facts.target}: give --target {plan.target}, or plan again"
        )
    if plan.accelerator != facts.accelerator:
        raise BadInput(
            f"{source}: accelerator: {plan.accelerator or 'none'}: not the wanted {facts.accelerator or 'none'}: "
            "give --accelerator as the plan was made for, or plan again"
        )


def _check_layers(plan: Plan, problem: Problem, source: str) -> None:
    known = [choices.layer for choices in problem.choices]
    named = {line.layer for line in plan.layers}
    missing = [layer for layer in known if layer not in named]
    for line in plan.layers:
        if line.layer not in known:
            near = did_you_mean(line.layer, missing or known)
            raise BadInput(f"{source}: layers: {line.layer!r}: the model has no such layer{near}")
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInput(f"{source}: layers: {missing[0]!r}{more} has no line: every layer needs one")


def _option(choices: Choices, line: Line, source: str) -> Option:
    option = choices.option(line.scheme)
    if option is not None:
        return option
    why = choices.refusal(line.scheme) or "it was not considered"
    names = ", ".join(sorted(o.scheme for o in choices.options))
    where = f"{source}: layers: {line.layer}: scheme: {line.scheme!r}"
    raise BadInput(f"{where}: is not allowed here ({why}): use one of {names}")


def _check_budgets(plan: Plan, size: int, loss: float, source: str) -> None:
    most, lossiest = plan.budgets.max_size, plan.budgets.max_loss
    if most is not None and size > most:
        raise BudgetError(
            f"{source}: budgets.max_size: {most}: its layers need {size:,} bytes, {size - most:,} too many: "
            f"raise the limit or give layers fewer bits"
        )
    if lossiest is not None and loss > lossiest:
        raise BudgetError(
            f"{source}: budgets.max_loss: {lossiest:g}: its layers lose {loss:.4g}: "
            f"raise the limit or give layers more bits"
        )


def _reason(choices: Choices, line: Line, option: Option) -> str:
    """Keep the line's reason while its numbers hold; else say what the edit changed."""
    size, loss = option.bytes - line.bytes, significant(option.loss) - line.loss
    if size == 0 and abs(loss) <= 1e-5 * option.loss:
        return line.reason
    if size == 0:
        return reason(choices, option)
    return f"set by hand: {'+' if size > 0 else ''}{format_size(size)}, {loss:+.2g} loss"
