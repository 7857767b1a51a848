"""Scored and priced layers → plan: the budgets of the request, and what is read, uniform or solved under them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from sdk.costs import Costs
from sdk.devices import DeviceProfile
from sdk.errors import BudgetError
from sdk.lowering import Target, accelerator_of
from sdk.pipeline.advising import advice
from sdk.pipeline.foreseeing import FIELDS, foreseen, keep
from sdk.pipeline.imported import with_own_grids
from sdk.pipeline.improving import improved, nearer, nearest
from sdk.pipeline.judging import Judge
from sdk.pipeline.keeping import solve_kept, solve_least
from sdk.pipeline.refusing import NotKept, with_context, with_origins
from sdk.pipeline.remembering import Remembering
from sdk.pipeline.request import Request
from sdk.pipeline.walking import walked
from sdk.pipeline.workbench import Workbench
from sdk.planning import (
    Calibration,
    Facts,
    Infeasible,
    Limits,
    Plan,
    Problem,
    Solution,
    Uniform,
    limits_in,
    make_plan,
    need,
    objective_named,
    read_plan,
    revalidate,
    solve,
    uniform,
)
from sdk.progress import Reporter

MARGIN = 0.001
"""Share of max_size that a plan leaves free, because lowering again costs more than the bytes are worth."""

RIGHT = 0.001
"""Share of a prediction by which sums may be off that lead to the best plan."""

DEFAULT_LOSS = 0.02
"""Loss budget where neither the user nor the profile gives one: 0.02 nats, or 0.02 of the stated loss."""

UNASKED = 1.5
"""Times a default loss that a file may lose before another one is made; where none loses less, it ships with a note."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses the plans of a request, by what was scored and priced for a device and a target."""

    request: Request
    workbench: Workbench = field(repr=False)
    problem: Problem = field(repr=False)
    costs: Costs = field(repr=False)
    device: DeviceProfile
    target: Target
    min_os: float | None

    def choose(self, report: Reporter, spare: int = 0, share: float = 1.0) -> Plan:
        """Return the plan: read from a file, uniform, or solved with `spare` bytes kept free below max_size and for `share`
        of max_loss. It says of each layer that came on a grid whether it stays there."""
        bench, request = self.workbench, self.request
        if request.plan is not None:
            plan = self._given(request.plan)
        elif request.uniform is not None:
            plan = self._uniform(request.uniform, report)
        else:
            plan = self._solved(report, spare, share)
        return with_own_grids(plan, bench.model, bench.own_grids, bench.holds)

    def _given(self, path: Path) -> Plan:
        plan = foreseen(revalidate(read_plan(path), self.problem, self._facts(), str(path)), self.costs)
        keep(plan, limits_in(plan), str(path))
        _within(self.request, plan)
        return plan

    def _uniform(self, name: str, report: Reporter) -> Plan:
        preset, asked = uniform(self.problem, name), self.request
        for text in _said(preset, len(self.problem.choices)):
            report.note(text)
        limits = Limits(asked.max_size, asked.max_loss, asked.max_memory, asked.max_latency)
        made = make_plan(self._facts(), self.problem, preset.solution, limits, preset.objective, preset.reasons)
        plan = foreseen(made, self.costs)
        _within(asked, plan)
        return plan

    def _solved(self, report: Reporter, spare: int, share: float) -> Plan:
        limits, objective = limits_of(self.request, self.device)
        with report.stage("solve"):
            aimed = limits if limits.max_loss is None else replace(limits, max_loss=share * limits.max_loss)
            run, judge = Remembering(partial(self._run, spare)), Judge(self.costs)
            try:
                solution = self._kept(aimed, objective, run, spare, judge)
            except (Infeasible, NotKept) as error:
                said = with_context(error, limits, self.workbench.model.language, self.costs)
                raise with_origins(said, origins_of(self.request, self.device, limits)) from error
            told = advice(self.problem, aimed, objective, solution, judge, run) if spare == 0 and share == 1 else None
        if told is not None:
            report.note(told)
        return foreseen(make_plan(self._facts(), self.problem, solution, limits, objective), self.costs)

    def _kept(self, limits: Limits, objective: str, run: Remembering, spare: int, judge: Judge) -> Solution:
        """The best plan that was found to keep the limits as predicted; where sums misled, it was bettered by predictions."""
        minimise = objective_named(objective).minimise
        held = _less(limits, spare + int((limits.max_size or 0) * MARGIN))
        try:
            if minimise == "max_memory" or minimise == "max_latency":
                found = solve_least(self.problem, limits, minimise, judge, run)
            else:
                found = solve_kept(self.problem, limits, judge, run, objective)
        except (Infeasible, NotKept) as error:
            starts = self._starts(limits, objective, run, judge)
            plans = nearest(self.problem, held, starts, judge)
            better = improved(self.problem, held, objective, [*starts, *plans.values()], judge)
            if better is not None:
                return better
            raise (nearer(error, plans, judge, MARGIN) if isinstance(error, NotKept) else error) from error
        if self._is_best(found, limits, objective, run, judge):
            return found
        return improved(self.problem, held, objective, [found, *self._starts(limits, objective, run, judge)], judge) or found

    def _is_best(self, found: Solution, limits: Limits, objective: str, run: Remembering, judge: Judge) -> bool:
        """Whether no plan can be better than one of sums: these are what is predicted, or limits on them cost it nothing."""
        minimise = objective_named(objective).minimise
        needed = judge.predict(found)
        names = [name for name in needed if name in limits.rows or name == minimise]
        if all(abs((need(self.problem.rows, name, found.schemes) or 0.0) / needed[name] - 1) <= RIGHT for name in names):
            return True
        free = replace(limits, max_memory=None, max_latency=None)
        return minimise not in FIELDS and judge.value(found, objective) <= judge.value(run(free, objective), objective)

    def _starts(self, limits: Limits, objective: str, run: Remembering, judge: Judge) -> list[Solution]:
        """Where a search by predictions begins."""
        return [*run.found, *walked(self.problem), *self._apart(limits, objective, judge)]

    def _apart(self, limits: Limits, objective: str, judge: Judge) -> list[Solution]:
        """The best plans within each limit on memory or latency alone: one that keeps the others too is none the worse."""
        most = self.problem.base + sum(choices.options[-1].bytes for choices in self.problem.choices)
        found = []
        for name, limit in limits.rows.items():
            only = Limits(max_loss=limits.max_loss).having(name, limit)
            if len(limits.rows) > 1 or (limits.max_size is not None and limits.max_size < most):
                with suppress(Infeasible, NotKept):
                    found.append(self._kept(only, objective, Remembering(partial(self._run, 0)), 0, judge))
        return found

    def _run(self, spare: int, limits: Limits, objective: str, near: bool) -> Solution:
        return solve_within(self.problem, limits, objective, spare, near)

    def _facts(self) -> Facts:
        return facts_of(self.workbench, self.device, self.target, self.min_os)


def limits_of(request: Request, device: DeviceProfile) -> tuple[Limits, str]:
    """The budgets that hold and the objective: a given size asks for quality, a given loss for the smallest file.

    A limit on memory or latency alone asks for quality too, within the profile's size. With none of them, the profile's
    default budgets hold, its loss in the unit of whatever the loss is. Where the least latency or memory is asked for, the loss
    is limited too.
    """
    limits, objective = _budgeted(request, device)
    if request.objective is None:
        return limits, objective
    minimise = objective_named(request.objective).minimise
    if minimise != "loss" and limits.max_loss is None:
        limits = replace(limits, max_loss=DEFAULT_LOSS)
    return limits, request.objective


def origins_of(request: Request, device: DeviceProfile, limits: Limits) -> dict[str, str]:
    """Limit → where it is from, of those of `limits_of` that nobody gave."""
    profile = {"max_size": device.budgets.max_size, "max_loss": device.budgets.max_loss}
    found = {}
    for name, stated in profile.items():
        value = getattr(limits, name)
        if value is not None and getattr(request, name) is None:
            own = stated is not None and stated.value == value
            found[name] = f"of the profile of {device.name}" if own else "the default"
    return found


def _budgeted(request: Request, device: DeviceProfile) -> tuple[Limits, str]:
    further = Limits(max_memory=request.max_memory, max_latency=request.max_latency)
    budgets = device.budgets
    size = budgets.max_size.value if budgets.max_size is not None else None
    if request.max_size is not None:
        return replace(further, max_size=request.max_size, max_loss=request.max_loss), "quality"
    if request.max_loss is not None:
        return replace(further, max_loss=request.max_loss), "smallest"
    if further.rows:
        return replace(further, max_size=size), "quality"
    least = budgets.max_loss.value if budgets.max_loss is not None else DEFAULT_LOSS
    return Limits(size, least), "smallest"


def solve_within(problem: Problem, limits: Limits, objective: str, spare: int = 0, near: bool = False) -> Solution:
    """Solve with `spare` bytes and, where possible, MARGIN kept free below max_size; Infeasible with the counter-offer."""
    try:
        return solve(problem, _less(limits, spare + int((limits.max_size or 0) * MARGIN)), objective, near)
    except Infeasible:
        return solve(problem, _less(limits, spare), objective, near)


def _less(limits: Limits, spare: int) -> Limits:
    return limits if limits.max_size is None else replace(limits, max_size=max(1, limits.max_size - spare))


def _within(request: Request, plan: Plan) -> None:
    """A plan that was not solved for the budgets must still keep them."""
    size, loss = plan.predicted.artifact_bytes, plan.predicted.loss
    if request.max_size is not None and size > request.max_size:
        raise BudgetError(
            f"--max-size {request.max_size:,} bytes: the plan needs {size:,}: raise it or let the SDK choose the schemes"
        )
    if request.max_loss is not None and loss > request.max_loss:
        raise BudgetError(
            f"--max-loss {request.max_loss:g}: the plan is predicted to lose {loss:.4g}: raise it or choose more bits"
        )
    keep(plan, Limits(max_memory=request.max_memory, max_latency=request.max_latency), "the plan")


def facts_of(bench: Workbench, device: DeviceProfile, target: Target, min_os: float | None) -> Facts:
    """The header of a plan for this device and target."""
    samples = bench.samples
    calibration = (
        Calibration(origin="data", samples=len(samples), digest=samples.digest)
        if samples.origin == "given" else Calibration(origin="synthetic (data-free)", samples=len(samples), digest=samples.digest)
    )
    made_for = accelerator_of(target)
    return Facts(
        bench.model.name, bench.model.digest, device.name, target.name, min_os, str(bench.loss), calibration,
        made_for.kind if made_for is not None else None,
    )


def _said(preset: Uniform, layers: int) -> list[str]:
    """What a preset did, aloud: how many layers were quantized, and which got another width."""
    said = [f"uniform {preset.preset}: {preset.quantized} of {layers} layers quantized below 16 bits"]
    said += [f"layer {m.layer} ({m.kind}) got {m.got} instead: {m.why}" for m in preset.missed]
    return said
