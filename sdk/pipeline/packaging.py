"""Request → bundle: plan, quantize, lower, execute, compare, and only then put the bundle in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdk.bundles import (
    MANIFEST,
    PLAN,
    REFERENCE,
    TOKENIZER,
    Artifact,
    Bounded,
    Bundle,
    CalibrationEntry,
    Figure,
    Figures,
    FrontEntry,
    LanguageEntry,
    LayerEntry,
    Manifest,
    MetricEntry,
    ModelEntry,
    RecoveryEntry,
    Tensor,
    artifact_bytes,
    check_writable,
    describe_artifact,
    dump,
    open_bundle,
    sha256_file,
    write_bundle,
)
from sdk.errors import BudgetError
from sdk.lowering import Realised, variant_of
from sdk.pipeline.accelerating import accelerator_entry
from sdk.pipeline.aiming import Aim, Kept
from sdk.pipeline.choosing import UNASKED, limits_of
from sdk.pipeline.finished import recall, remember
from sdk.pipeline.kept import toolchain_versions
from sdk.pipeline.lowered import Lowered, lower, remark, verify
from sdk.pipeline.metrics import measure_metric
from sdk.pipeline.placing import operators
from sdk.pipeline.planning import Planned, plan_request
from sdk.pipeline.request import Request
from sdk.pipeline.together import judged
from sdk.pipeline.workbench import Workbench
from sdk.planning import Expected, Infeasible, Limits, Plan, Predicted, corrected, front, plan_text, significant, summed
from sdk.progress import Chapter, Reporter
from sdk.quantize import reference_module
from sdk.recovery import describe_recovery
from sdk.verify import Parity, moved_choice

SURPRISE, WORTH_TELLING = 3.0, 5e-3
"""Times the predicted loss, and loss, above which the user is told that the prediction did not hold."""

FEW = 8.0
"""Samples of equal loss that a mean has to be as steady as for nobody to be told which samples carry it."""

CHOOSING = 8
"""Samples that choices of the float and the quantized model are compared on."""

FLOAT_BYTES = 4
"""Bytes of a number in a language model's cache where the target does not say otherwise."""

ATTEMPTS = 4
"""Plans that are lowered before a budget is given up: each corrects the prediction by what was measured."""


def package_request(request: Request, report: Reporter, workbench: Workbench | None = None) -> Bundle:
    """Package `request` and return the bundle; nothing is left when it fails.

    Raises BadInput, Missing, BudgetError (with the counter-offer), LoweringError and CheckFailed.
    """
    if request.out is not None:
        check_writable(request.out)
    report = Chapter(report)
    planned = plan_request(request, report, workbench, shipped=True)
    out = request.out or Path("dist") / "-".join(
        [planned.model.name, planned.device.name, planned.target.name, *variant_of(planned.target)[:1]]
    )
    if request.out is None:
        check_writable(out)
    write_bundle(out, lambda folder: _fill(folder, request, planned, report))
    return open_bundle(out)


def _fill(folder: Path, request: Request, planned: Planned, report: Reporter) -> None:
    if recall(folder, request, planned, report):
        return
    lowered, realised, parity = _lower_within(folder, request, planned, report)
    remark(lowered, parity)
    metric = measure_metric(request, lowered, report)
    if planned.model.language is not None:
        planned.model.language.tokenizer.save_pretrained(str(folder / TOKENIZER))
    (folder / PLAN).write_text(plan_text(lowered.plan), encoding="utf-8")
    manifest = _manifest(request, lowered, realised, parity, metric)
    (folder / MANIFEST).write_text(dump(manifest), encoding="utf-8")
    remember(folder, request, lowered)


def _lower_within(
    folder: Path, request: Request, planned: Planned, report: Reporter
) -> tuple[Lowered, Mapping[str, Realised], Parity]:
    """Lower and verify; plan again by what was measured while the file exceeds max_size, or the max_loss that was asked for.

    Of the files that keep both the smallest one is taken.
    """
    plan, spare, tried = planned.plan, 0, list[Mapping[str, str]]()
    files: Kept[tuple[Lowered, Mapping[str, Realised], Parity]] = Kept()
    limits, _ = limits_of(request, planned.device)
    aim = Aim(_most(request, limits), planned.share)
    while len(tried) < ATTEMPTS and plan.schemes not in tried:
        tried.append(plan.schemes)
        lowered = lower(folder, plan, planned, report)
        size, interaction, further = artifact_bytes(lowered.artifact), plan.predicted.interaction, True
        over = size - limits.max_size if limits.max_size is not None else 0
        if over > 0:
            refusal = BudgetError(f"max_size {limits.max_size:,} bytes: the finished file has {size:,}; raise it by {over:,}")
            missed = size - plan.predicted.artifact_bytes  # another plan is mispredicted as well, by as much or more
            spare = max(spare + 2 * over, missed) + 64
            said = f"the first file was {over:,} bytes over max_size: planned again with that kept free"
        else:
            realised, parity = verify(lowered)
            lost = _lost(request, plan, parity)
            further = aim.lost(lost, planned.problem.response.loss(summed(plan)))
            files.add((lowered, realised, parity), size, lost, aim.limit)
            refusal = _too_lossy(aim.limit, parity.loss, plan)
            interaction = parity.loss / max(summed(plan), 1e-12)
            said = _why_again(plan, parity, lost, aim.limit)
        if not further or request.given:
            break
        report.note(said)
        try:
            plan = planned.chooser.choose(report, spare, aim.share)
            apart = plan if planned.plan.predicted.held_out is None else judged(plan, planned.workbench, report)
            plan = corrected(plan, interaction) if apart.predicted.held_out is None else apart
        except Infeasible:
            if over > 0 and files.closest is None:
                raise
            break
    best = files.best(strict=request.max_loss is not None)
    if best is None:
        raise refusal
    if best[0] is not lowered:  # another one lies in its place
        best = lower(folder, best[0].plan, planned, report), best[1], best[2]
    _tell_of_loss(request, limits.max_loss, best[0], best[2], report)
    return best


def _why_again(plan: Plan, parity: Parity, lost: float, limit: float) -> str:
    """What is said of a file that loses more than it may."""
    if lost == parity.loss:
        return f"the file lost {parity.loss:.3g} where {plan.predicted.loss:.3g} was predicted: planned again"
    return f"samples that the file was not rounded by lost {lost:.3g}, more than {limit:g}: planned again"


def _lost(request: Request, plan: Plan, parity: Parity) -> float:
    """What limits hold a file to: what it loses on the samples that it was rounded by, or those that did not round it lose where
    that is more. Of a plan that was given the former: there is no other one to take."""
    apart = not request.given and plan.predicted.held_out is not None
    return max(parity.loss, plan.predicted.loss) if apart else parity.loss


def _most(request: Request, limits: Limits) -> float:
    """What a file may lose: as much as was asked for, or UNASKED times what a default allows."""
    if request.max_loss is not None:
        return request.max_loss
    return math.inf if limits.max_loss is None else UNASKED * limits.max_loss


def _tell_of_loss(request: Request, most: float | None, lowered: Lowered, parity: Parity, report: Reporter) -> None:
    """A loss that nobody limited is no reason to fail, but the user has to hear of it where it is a surprise, and why."""
    plan, lost = lowered.plan, _lost(request, lowered.plan, parity)
    alone = lowered.planned.problem.response.loss(summed(plan))
    predicted = plan.predicted.loss if plan.predicted.held_out is None else alone
    if request.max_loss is None and not request.given and most is not None and lost > most:
        why = _chosen_otherwise(lowered) if lost > UNASKED * predicted else None
        report.note(
            f"the file loses {lost:.3g}, more than the default budget of {most:g}: give --max-loss to have it kept"
            + ("" if why is None else f" ({why})")
        )
    elif lost > max(SURPRISE * predicted, WORTH_TELLING):
        why = _chosen_otherwise(lowered) or (
            "at so few bits its layers make each other worse; give it more bytes, or --max-loss to have a loss kept"
        )
        report.note(f"the file loses {lost:.3g} where {predicted:.3g} was predicted: {why}")
    found, limit = plan.predicted.held_out, plan.budgets.max_loss
    if found is not None and limit is not None and lost <= limit < plan.predicted.loss:
        report.note(f"samples that did not round it lose {plan.predicted.loss:.3g}, more than the plan's limit of {limit:g}")
    if found is not None and found.carrying < FEW and found.high > WORTH_TELLING:
        report.note(
            f"few of the {found.samples} samples that judged it carry the loss of {plan.predicted.loss:.3g}, as if "
            f"{found.carrying:.2g} carried all: other inputs may lose {found.low:.2g} to {found.high:.2g}, or more where the "
            "samples lack what is hard; more samples say more"
        )


def _chosen_otherwise(lowered: Lowered) -> str | None:
    """Say which operator of the quantized model takes other numbers than that of the float one, or None."""
    model, samples = lowered.planned.model, lowered.planned.workbench.samples.inputs[:CHOOSING]
    if model.language is not None:
        return None
    found = moved_choice(model.module(), reference_module(lowered.quantized), samples)
    if found is None:
        return None
    return (
        f"{found[0]} of the model takes other numbers in {found[1]} of {len(samples)} samples: the loss counts each as wrong "
        "however close they were, and no prediction sees it; give it more bytes or a --loss that matches what is chosen, or "
        "package the model up to there"
    )


def _too_lossy(most: float, measured: float, plan: Plan) -> BudgetError:
    mend, said = "raise it, choose more bits or another target", plan.predicted
    if measured <= most and said.held_out is not None:
        return BudgetError(f"max_loss {most:g}: samples that the file was not rounded by lose {said.loss:.4g}: {mend}")
    return BudgetError(f"max_loss {most:g}: the finished file loses {measured:.4g} where {said.loss:.4g} was predicted: {mend}")


def _manifest(
    request: Request, lowered: Lowered, realised: Mapping[str, Realised], parity: Parity, metric: MetricEntry | None
) -> Manifest:
    planned, plan, folder = lowered.planned, lowered.plan, lowered.folder
    model, samples = planned.model, planned.workbench.samples
    described: Artifact = describe_artifact(lowered.artifact)
    return Manifest(
        model=ModelEntry(
            name=model.name, digest=model.digest,
            inputs=tuple(Tensor(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.inputs),
            outputs=tuple(Tensor(name=s.name, dtype=s.dtype, shape=s.shape) for s in model.outputs),
        ),
        device=planned.device.name,
        target=planned.target.name,
        min_os=planned.min_os,
        artifact=described,
        layers=tuple(
            LayerEntry(
                name=line.layer, kind=line.kind, parameters=model.inventory[line.layer].parameters, planned=line.scheme,
                realised=realised[line.layer].scheme, bytes=realised[line.layer].bytes,
                site=lowered.sites.get(line.layer, ""),
            )
            for line in plan.layers
        ),
        ops=operators(planned.target, lowered.artifact),
        loss=plan.loss,
        runtime=parity.runtime,
        predicted=_predicted(plan),
        measured=_measured(described, parity),
        rounding_floor=Figure(value=significant(parity.floor), origin="host"),
        metric=metric,
        front=tuple(
            FrontEntry(bytes=point.bytes, loss=significant(point.loss), price=significant(point.price))
            for point in front(planned.problem)
        ),
        notes=tuple(lowered.report.notes),
        tool_versions=toolchain_versions(planned.target),
        command=request.command,
        project_sha256=request.project_sha256,
        calibration=CalibrationEntry(origin=samples.origin, samples=len(samples), digest=samples.digest),
        language=_language(planned, parity, folder),
        recovery=_recovery(planned.recovered),
        accelerator=accelerator_entry(planned.target, lowered.artifact),
        plan_sha256=sha256_file(folder / PLAN),
        reference_sha256=sha256_file(folder / REFERENCE),
    )


def _predicted(plan: Plan) -> Figures:
    found = plan.predicted
    return Figures(
        artifact_bytes=Figure(value=found.artifact_bytes, origin="predicted"),
        loss=_loss_of(found),
        relative_error=Figure(value=None, origin="predicted"),
        peak_memory=_bounded(found.peak_memory),
        latency=_bounded(found.latency),
    )


def _loss_of(found: Predicted) -> Figure:
    apart = found.held_out
    if apart is None:
        return Figure(value=found.loss, origin="predicted")
    return Bounded(value=found.loss, origin="predicted", low=apart.low, high=apart.high)


def _language(planned: Planned, parity: Parity, folder: Path) -> LanguageEntry | None:
    found = planned.model.language
    if found is None:
        return None
    width = getattr(planned.target, "cache_width", FLOAT_BYTES)
    return LanguageEntry(
        family=found.family, context=found.context, window=found.window, vocabulary=found.vocabulary,
        cache_bytes=found.cache_bytes(width=width), begin=found.begin, ends=found.ends,
        tokenizer=describe_artifact(folder / TOKENIZER),
        agreement=significant(parity.agreement or 0.0), divergence=max(0.0, significant(parity.divergence or 0.0)),
    )


def _recovery(path: Path | None) -> RecoveryEntry | None:
    if path is None:
        return None
    found = describe_recovery(path)
    return RecoveryEntry(
        sha256=sha256_file(path), digest=found.data, samples=found.samples, steps=found.steps, held_out=found.held_out,
        before=significant(found.before), after=significant(found.after),
    )


def _bounded(expected: Expected | None) -> Bounded | None:
    if expected is None:
        return None
    return Bounded(value=expected.value, origin="predicted", low=expected.low, high=expected.high)


def _measured(artifact: Artifact, parity: Parity) -> Figures:
    origin: Any = parity.origin
    return Figures(
        artifact_bytes=Figure(value=artifact.bytes, origin=origin),
        loss=Figure(value=max(0.0, parity.loss), origin=origin),
        relative_error=Figure(value=parity.relative_error, origin=origin),
    )
