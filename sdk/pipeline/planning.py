"""Request → plan: allowed schemes, their bytes and losses, and the plan that is chosen of them under the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from sdk.costs import Costs
from sdk.devices import DeviceProfile, Kernels, family, find_device
from sdk.errors import BadInput
from sdk.lowering import Prices, Target, accelerator_of
from sdk.models import Layer, LayerInventory, Model
from sdk.pipeline.accelerating import AUTO, accelerator_notes, resolve_target
from sdk.pipeline.choosing import UNASKED, Chooser
from sdk.pipeline.foreseeing import costs_of, kernels_of, rows_of, speaks_in_measured_kernels
from sdk.pipeline.fronts import Axis, Trade, front_of
from sdk.pipeline.imported import grid_notes
from sdk.pipeline.kept import prices
from sdk.pipeline.narrowing import Kept, Refused, narrowed, without_unpriced
from sdk.pipeline.refining import SHIPPED, TRIALS, Refined, refine
from sdk.pipeline.request import Request
from sdk.pipeline.sources import AS_THEY_CAME
from sdk.pipeline.together import judged, losses_together
from sdk.pipeline.unrolling import unrolled_notes
from sdk.pipeline.workbench import Workbench
from sdk.planning import (
    Budget,
    Choices,
    Join,
    Plan,
    Problem,
    Refusal,
    Restriction,
    Tie,
    allowed,
    considered,
    limits_in,
    nothing_predicts,
    read_plan,
    solution_of,
)
from sdk.progress import Chapter, Reporter, SilentReporter
from sdk.quantize.tied import tied_layers
from sdk.recovery import describe_recovery
from sdk.schemes import Scheme, all_schemes


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and everything that it was chosen from."""

    plan: Plan
    chooser: Chooser = field(repr=False)
    notes: tuple[str, ...] = ()
    share: float = 1.0
    """Share of max_loss that the sum of the layers' losses was limited to, by what they were measured to lose together."""

    @property
    def problem(self) -> Problem:
        """Every layer's schemes with their bytes and losses."""
        return self.chooser.problem

    def needs(self, schemes: Mapping[str, str]) -> dict[Budget, float]:
        """What a plan of these schemes (by layer) is predicted to need: bytes of memory, ms of latency."""
        return {name: each.value for name, each in self.chooser.costs.predict(schemes).items()}

    def front(self, axis: Axis) -> tuple[Trade, ...]:
        """The least losses along `axis`, where the plan's limits on everything else hold."""
        own = solution_of(self.problem, {
            each.layer: option for each in self.choices if (option := each.option(self.plan.schemes[each.layer])) is not None
        })
        return front_of(self.problem, self.chooser.costs, limits_in(self.plan), axis, own)

    @property
    def workbench(self) -> Workbench:
        """The loaded and scored model."""
        return self.chooser.workbench

    @property
    def model(self) -> Model:
        """The model that is planned."""
        return self.workbench.model

    @property
    def device(self) -> DeviceProfile:
        """The device that it is planned for."""
        return self.chooser.device

    @property
    def target(self) -> Target:
        """The runtime's format."""
        return self.chooser.target

    @property
    def min_os(self) -> float | None:
        """The oldest OS that has to run it."""
        return self.chooser.min_os

    @property
    def recovered(self) -> Path | None:
        """File of grids that `sdk recover` trained for this plan."""
        return self.chooser.request.recovered

    @property
    def choices(self) -> tuple[Choices, ...]:
        """What was considered, layer by layer."""
        return self.problem.choices

    @property
    def inventory(self) -> LayerInventory:
        """The model's layers."""
        return self.model.inventory


def problem_within(
    workbench: Workbench, target: Target, restriction: Restriction, min_os: float | None, report: Reporter
) -> Problem:
    """Score and price every scheme that target, shapes and `restriction` (of a device, or of several) allow."""
    return problem_and_costs(workbench, target, restriction, min_os, report)[0]


def problem_and_costs(
    workbench: Workbench, target: Target, restriction: Restriction, min_os: float | None, report: Reporter,
    kernels: Kernels | None = None, request: Request | None = None,
) -> tuple[Problem, Costs]:
    """Return the problem with the sums that budgets on memory and latency limit, and the models that they come from.

    `kernels`: what a probe measured of the device's runtime; `request`: whose plan or preset may decide every layer.
    """
    allowed: tuple[Kept, Refused] | None = allowed_within(workbench.model, target, restriction, min_os)
    while allowed is not None:
        kept, refused = allowed if request is None else narrowed(request, workbench, target, *allowed)
        losses = workbench.losses(kept)
        with report.stage(f"price for {target.name}"):
            priced = prices(target, workbench.model, kept, min_os)
        allowed = without_unpriced(*allowed, kept, priced.layers)
    choices = tuple(
        considered(layer, kept[layer.name], refused[layer.name], priced.layers[layer.name], losses[layer.name])
        for layer in workbench.model.inventory.layers
    )
    ties = ties_of(workbench.model, target, kept, priced)
    costs = costs_of(workbench.model, target, priced, kernels, ties)
    static = frozenset(name for name, scheme in all_schemes().items() if scheme.activations == "static")
    joins = tuple(Join(first, later, saved, static) for first, later, saved in priced.joins)
    return Problem(priced.base, choices, rows_of(costs, choices), ties, joins, workbench.response), costs


def ties_of(model: Model, target: Target, kept: Mapping[str, Sequence[Scheme]], priced: Prices) -> tuple[Tie, ...]:
    """A language model's embedding and head of one weight, where the target can store that once."""
    once = getattr(target, "stored_once", None)
    if once is None:
        return ()
    return tuple(
        Tie(
            first, later, apart=target.stores_apart,  # type: ignore[attr-defined]
            saved={
                (a.name, b.name): priced.weights.get(later, {}).get(b.name, 0)
                for a in kept[first] for b in kept[later] if once(a, b)
            },
        )
        for first, later in tied_layers(model)
    )  # fmt: skip


def allowed_within(
    model: Model, target: Target, restriction: Restriction, min_os: float | None
) -> tuple[dict[str, list[Scheme]], dict[str, list[Refusal]]]:
    """Schemes of every layer that may be chosen, and those that are refused."""
    kept: dict[str, list[Scheme]] = {}
    refused: dict[str, list[Refusal]] = {}
    rows = target.capabilities()
    always = (target.fallback, target.lossless)
    if model.language is not None:
        if not getattr(target, "generates", ""):
            if accelerator_of(target) is not None:
                raise BadInput(f"target {target.name!r} takes language models on the CPU alone: leave --accelerator out")
            raise BadInput(f"target {target.name!r} does not take language models; --target executorch, tflite or coreml does")
        restriction = _without_static(restriction)
    for layer in model.inventory.layers:
        kept[layer.name], refused[layer.name] = allowed(
            layer, rows, min_os, all_schemes().values(), restriction, always
        )
    return kept, refused


def _without_static(restriction: Restriction) -> Restriction:
    """A language model's activations have outliers in some tokens, which one range for all would have to hold."""

    def restrict(layer: Layer, scheme: Scheme) -> str | None:
        if scheme.activations == "static":
            return "one range for all tokens does not hold a language model's outliers"
        return restriction(layer, scheme)

    return restrict


def score_together(requests: Sequence[Request], workbench: Workbench) -> None:
    """Score what any of `requests` may choose in one pass over the samples, so that each finds its losses there."""
    workbench.losses(wanted_by(requests, workbench))


def wanted_by(requests: Sequence[Request], workbench: Workbench) -> dict[str, list[Scheme]]:
    """Layer → schemes that any of `requests` may choose."""
    model = workbench.model
    wanted: dict[str, dict[str, Scheme]] = {layer.name: {} for layer in model.inventory.layers}
    for request in requests:
        device, target, min_os = start(request, SilentReporter())
        floor = floor_for_language(request, model, target, min_os)
        kept, _ = narrowed(request, workbench, target, *allowed_within(model, target, restriction_of(device, target), floor))
        for layer, schemes in kept.items():
            wanted[layer] |= {scheme.name: scheme for scheme in schemes}
    return {layer: list(schemes.values()) for layer, schemes in wanted.items()}


def restriction_of(device: DeviceProfile, target: Target) -> Restriction:
    """What the device's profile says against a scheme with `target`; nothing where it does not mention the target."""
    always = (target.fallback, target.lossless)
    families = families_of(device, target)
    where = accelerator_of(target)
    place = f" on its {where.kind}" if where is not None else ""

    def restrict(layer: Layer, scheme: Scheme) -> str | None:
        if not families or scheme.name in always or family(scheme.format, scheme.bits, scheme.activations) in families:
            return None
        return f"{device.name} does not run {family(scheme.format, scheme.bits, scheme.activations)} with {target.name}{place}"

    return restrict


def families_of(device: DeviceProfile, target: Target) -> frozenset[str]:
    """Scheme families that the device runs with the target, on its accelerator if it is a variant for one."""
    where = accelerator_of(target)
    return device.families(target.name, where.kind if where is not None else None) or frozenset()


def start(request: Request, report: Reporter) -> tuple[DeviceProfile, Target, float | None]:
    """Resolve device, target and OS floor, and read the plan file, before anything heavy is loaded."""
    if request.plan is not None and request.uniform is not None:
        raise BadInput("--plan and --uniform contradict each other: give one")
    for option, given in (("--plan", request.plan), ("--uniform", request.uniform)):
        if given is not None and request.objective is not None:
            raise BadInput(
                f"{option} and --objective contradict each other: {option} decides every layer, so nothing is left to be made "
                "least: give one"
            )
    if request.recovered is not None and request.plan is None:
        raise BadInput(f"--recovered {request.recovered}: needs the plan that it was trained for: add --plan FILE")
    if request.recovered is not None:
        describe_recovery(request.recovered)
    device = find_device(request.device)
    target = resolve_target(_as_planned(request), device)
    floor = device.os.floor.value if device.os.floor is not None else newest_os(target)
    min_os = request.min_os if request.min_os is not None else floor
    _refuse_hopeless(request, device, target, min_os)
    return device, target, min_os


def _as_planned(request: Request) -> Request:
    """The request with the target that its plan is for, where it names neither target nor accelerator."""
    if request.plan is None:
        return request
    plan = read_plan(request.plan)
    asked = request.target != AUTO or request.accelerator not in (None, AUTO)
    return request if asked or plan.accelerator is not None else replace(request, target=plan.target)


def _refuse_hopeless(request: Request, device: DeviceProfile, target: Target, min_os: float | None) -> None:
    """BadInput for what no plan of the target can keep: an OS before its first, a budget that nothing predicts."""
    least = min((row.min_os or 0.0 for row in target.capabilities() if row.supported), default=0.0)
    if min_os is not None and min_os < least:
        given = f"--min-os {min_os:g}" if request.min_os is not None else f"OS {min_os:g} of {device.name}"
        raise BadInput(f"{given}: target {target.name!r} writes for OS {least:g} and newer: give --min-os {least:g} or newer")
    if request.max_memory is not None and target.memory() is None:
        raise nothing_predicts("max_memory")
    if request.max_latency is not None and kernels_of(device, target) is None:
        raise nothing_predicts("max_latency")


def floor_for_language(request: Request, model: Model, target: Target, min_os: float | None) -> float | None:
    """`min_os`, or the target's own least OS for language models where that is newer; BadInput where the user asked for less."""
    least = getattr(target, "generates_from", None) if model.language is not None else None
    if least is None or min_os is None or min_os >= least:
        return min_os
    if request.min_os is not None:
        raise BadInput(
            f"--min-os {request.min_os:g}: target {target.name!r} holds language models from OS {least:g} on: "
            "give that or leave it out"
        )
    return float(least)


def newest_os(target: Target) -> float | None:
    """The newest OS that the target's table tells apart: what a device that states no OS version is planned for."""
    return max((row.min_os for row in target.capabilities() if row.min_os is not None), default=None)


def plan_request(request: Request, report: Reporter, workbench: Workbench | None = None, *, shipped: bool = False) -> Planned:
    """Plan `request`; `workbench` shares a loaded and scored model between targets.

    A plan that is to be `shipped` is measured by cross-validation whatever the effort, and made again where it does not keep
    its max_loss. Raises BadInput, Missing, and BudgetError with the counter-offer.
    """
    device, target, min_os = start(request, report)
    report = Chapter(report)
    bench = workbench if workbench is not None and workbench.serves(request) else Workbench(request, report)
    if request.max_latency is not None and bench.model.language is not None and not speaks_in_measured_kernels(target):
        raise BadInput(
            f"max_latency: of language models on {target.name} none is predicted (no probe measures their attention): "
            "leave it out; `sdk generate` tells tokens per second"
        )
    for text in (*bench.notes, *accelerator_notes(request, device, target), *unrolled_notes(bench.model, target)):
        report.note(text)
    stated, min_os = min_os, floor_for_language(request, bench.model, target, min_os)
    if min_os != stated:
        report.note(f"target {target.name} holds language models from OS {min_os:g} on; {device.name} is sold with {stated:g}")
    kernels = kernels_of(device, target)
    problem, costs = problem_and_costs(bench, target, restriction_of(device, target), min_os, report, kernels, request)
    chooser = Chooser(request, bench, problem, costs, device, target, min_os)
    found = _refined(chooser, report, shipped)
    for text in grid_notes(found.plan, bench.own_grids):
        report.note(text)
    return Planned(found.plan, chooser, tuple(report.notes), found.share)


def _refined(chooser: Chooser, report: Reporter, shipped: bool) -> Refined:
    """The plan of the request, by what it loses on samples that did not round it as far as effort and use ask for that."""
    request, bench = chooser.request, chooser.workbench
    asked = 0 if request.given else TRIALS[request.effort]
    fitted = request.recovered is not None or request.uniform in AS_THEY_CAME  # nothing is rounded here
    trials = asked or (0 if not shipped or fitted else 1 if request.given else SHIPPED)

    def lost(plan: Plan) -> float | None:
        losses = losses_together(plan, bench, report)
        return None if losses is None else fmean(losses)

    found = refine(
        trials, lambda share: chooser.choose(report, share=share), lost, smaller=asked > 0,
        slack=1.0 if request.max_loss is not None else UNASKED,
    )  # fmt: skip
    return replace(found, plan=judged(found.plan, bench, report)) if trials else found
