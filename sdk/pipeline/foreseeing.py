"""Peak memory and latency in planning: the cost models of a request, sums for the solver, and predictions in the plan."""

from __future__ import annotations

from collections.abc import Sequence

from sdk.costs import Budget, Costs, LatencyModel, MemoryModel, Prediction
from sdk.costs.transfer import core_peak, peak_of, transferred
from sdk.devices import DeviceProfile, Kernels
from sdk.errors import BadInput, BudgetError
from sdk.lowering import Prices, Target, accelerator_of
from sdk.models import Model
from sdk.planning import Choices, Expected, Limits, Plan, Row, Tie, significant
from sdk.planning.offers import shown

FIELDS: dict[Budget, str] = {"max_memory": "peak_memory", "max_latency": "latency"}
"""Budget → what a plan calls the prediction that it limits."""


def costs_of(model: Model, target: Target, priced: Prices, kernels: Kernels | None, ties: Sequence[Tie] = ()) -> Costs:
    """Return the cost models of a model on a target, with the device's `kernels` where a probe measured them.

    A language model has a memory where its runtime was measured with one, and a latency where a probe measures its kernels.
    """
    table = target.memory()
    spoken = table.language if table is not None and model.language is not None else None
    if model.language is not None and spoken is None:
        return Costs()
    shared = {(tie.first, tie.later): tie.saved for tie in ties} if model.language is not None else {}
    memory = MemoryModel(model, table, priced, shared) if table is not None else None
    if kernels is None or (spoken is not None and not speaks_in_measured_kernels(target)):
        return Costs(memory)
    return Costs(memory, LatencyModel(model, kernels, spoken))


def speaks_in_measured_kernels(target: Target) -> bool:
    """Say whether a language model on the target consists of kernels that a probe measures.

    It does where the app holds the cache: attention is then two products. A runtime with a cache of its own has a kernel for it.
    """
    table = target.memory()
    return table is not None and table.language is not None and table.language.prefill > 0


def kernels_of(device: DeviceProfile, target: Target) -> Kernels | None:
    """Return the device's own kernels where it was probed; else the target's, transferred to its cores; None without either.

    All of them were timed on a CPU, so there are none for another accelerator.
    """
    made_for = accelerator_of(target)
    if made_for is not None and made_for.kind != "cpu":
        return None
    if target.name in device.kernels:
        return device.kernels[target.name]
    reference, peak = target.kernels(), peak_of(device)
    if reference is None or peak is None:
        return None
    return transferred(reference.kernels, core_peak(reference.core, reference.mhz, reference.threads), peak)


def rows_of(costs: Costs, choices: Sequence[Choices]) -> tuple[Row, ...]:
    """Return the sums of the cost models over what may be chosen."""
    names = {each.layer: [option.scheme for option in each.options] for each in choices}
    return tuple(Row(found.budget, found.moment, found.base, found.amounts, found.shared) for found in costs.sums(names))


def foreseen(plan: Plan, costs: Costs) -> Plan:
    """Return the plan with what is predicted of it."""
    found = {FIELDS[name]: _expected(each) for name, each in costs.predict(plan.schemes).items()}
    return plan.model_copy(update={"predicted": plan.predicted.model_copy(update=found)})


def _expected(found: Prediction) -> Expected:
    return Expected(value=significant(found.value), low=significant(found.low), high=significant(found.high))


def keep(plan: Plan, limits: Limits, source: str) -> None:
    """BudgetError where the plan's prediction exceeds a limit on memory or latency, BadInput where nothing predicts it."""
    for budget, limit in limits.rows.items():
        found: Expected | None = getattr(plan.predicted, FIELDS[budget])  # type: ignore[index]
        if found is None:
            raise BadInput(f"{budget}: nothing predicts it for {plan.target}: leave it out, or choose another target")
        if found.value > limit:
            said = f"{budget} {shown(budget, limit)}: predicted are {shown(budget, found.value)}"
            raise BudgetError(f"{source}: {said}: raise it or give layers other schemes")
