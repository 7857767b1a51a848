"""What a plan's layers lose together, before anything is lowered, and the rounding that it asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from sdk.cache import code_digest, key_of, versions
from sdk.lowering import Quantized, Range
from sdk.models.samples import Samples, parts_of
from sdk.pipeline.kept import QUANTIZING
from sdk.pipeline.workbench import FOLDS, Workbench
from sdk.planning import Plan, measured_apart, summed
from sdk.progress import Reporter
from sdk.quantize import quantize, reference, walkable
from sdk.rounding import Statistics
from sdk.schemes import Scheme, scheme_named
from sdk.sensitivity import measure

FAR = 1.5
"""Times the predicted loss beyond which the layers of a plan make each other worse."""

LITTLE = 5e-4
"""Loss below which that is not worth the time."""

WORK = 20_000_000_000
"""Multiply-accumulates of the float model's layers for which a plan is judged on more of the samples than it was scored on: of a
classifier that is sure of itself one sample in fifty carries most of the loss."""

WINDOWS = 2
"""Windows of a language model that the loss is measured on: other models are judged by all samples, as few of them mislead."""

_FILE = "losses.json"


def quantized_by(plan: Plan, bench: Workbench, report: Reporter) -> Quantized:
    """Return the model on the grids of `plan`.

    Every layer is rounded for itself, as it was scored. Where the layers then lose far more together than one by one, they
    are rounded in order, each making up for those before it; of the two the one is returned that loses less.
    """
    schemes, ranges = _schemes(plan), _ranges(plan, bench)
    with report.stage("quantize"):
        statistics = bench.statistics_for({name: [scheme] for name, scheme in schemes.items()})
        alone = quantize(bench.model, schemes, ranges, statistics)
        if not walkable(bench.model, bench.taken):
            return alone
        inputs = bench.samples.inputs if bench.model.language is None else bench.samples.some(WINDOWS)
        lost = _loss(alone, bench, inputs)
        if lost <= max(LITTLE, FAR * summed(plan)):
            return alone
        together = quantize(bench.model, schemes, ranges, statistics, bench.taken)
        return together if not _loss(together, bench, inputs) >= lost else alone


def losses_together(plan: Plan, bench: Workbench, report: Reporter) -> list[float] | None:
    """Return what the layers of `plan` lose together in torch on samples that did not round them, one by one; from the cache.

    Cross-validation: each of FOLDS parts of the samples judges the model that the others rounded. None without so many
    samples of data, for language models, and where the model is too big to be tried.
    """
    if not walkable(bench.model, bench.samples) or bench.model.language is not None or len(bench.samples) < FOLDS:
        return None
    key = key_of(
        "together", bench.model.digest, bench.samples.digest, bench.loss, plan.schemes, code_digest(*QUANTIZING),
        versions("numpy", "torch", "torchao"),
    )
    return bench.kept.cache.fetch(
        "together", key, make=lambda: _apart(plan, bench, report), save=_save,
        load=lambda entry: list(map(float, json.loads((entry / _FILE).read_text("utf-8")))),
    )


def judged(plan: Plan, bench: Workbench, report: Reporter) -> Plan:
    """Return the plan with what it loses on samples that did not round it (see `losses_together`), where that can be measured."""
    losses = losses_together(plan, bench, report)
    return plan if losses is None else measured_apart(plan, losses)


def _save(losses: list[float], entry: Path) -> None:
    (entry / _FILE).write_text(json.dumps(losses), encoding="utf-8")


def _apart(plan: Plan, bench: Workbench, report: Reporter) -> list[float]:
    """Losses of the samples, each on the model that the other parts rounded; rounded as `quantized_by` does."""
    with report.stage("try plan", 2 * FOLDS) as stage:
        alone = _by_folds(plan, bench, False, stage)
        if fmean(alone) <= max(LITTLE, FAR * summed(plan)):
            return alone
        return min(alone, _by_folds(plan, bench, True, stage), key=fmean)


def _by_folds(plan: Plan, bench: Workbench, in_order: bool, stage: Reporter) -> list[float]:
    schemes, ranges, losses, judged = _schemes(plan), _ranges(plan, bench), list[float](), _judged(bench)
    folds, moments = parts_of(judged.inputs, FOLDS), bench.moments_by(FOLDS)
    for index, fold in enumerate(folds):
        rest = [*folds[:index], *folds[index + 1 :]]
        known = Statistics(bench.statistics.importance, (*moments[:index], *moments[index + 1 :]))
        samples = replace(judged, inputs=tuple(sample for part in rest for sample in part)) if in_order else None
        losses += _losses(quantize(bench.model, schemes, ranges, known, samples), bench, fold)
        stage.step()
    return losses


def _judged(bench: Workbench) -> Samples:
    """As many of the samples that rounding learns from as WORK allows, at least as many as plans are scored on."""
    once = sum(layer.macs for layer in bench.model.inventory.layers)
    count = max(len(bench.samples), min(len(bench.taken), WORK // max(1, once)))
    return bench.taken.spread(count - count % FOLDS, FOLDS) if count > len(bench.samples) else bench.samples


def _schemes(plan: Plan) -> dict[str, Scheme]:
    return {name: scheme_named(scheme) for name, scheme in plan.schemes.items()}


def _ranges(plan: Plan, bench: Workbench) -> Mapping[str, Range]:
    static = any(scheme.activations == "static" for scheme in _schemes(plan).values())
    return bench.ranges if static else {}


def _loss(quantized: Quantized, bench: Workbench, inputs: Sequence[tuple[Any, ...]]) -> float:
    """Mean loss against the float model in torch; infinite where outputs are not finite."""
    return fmean(_losses(quantized, bench, inputs))


def _losses(quantized: Quantized, bench: Workbench, inputs: Sequence[tuple[Any, ...]]) -> list[float]:
    """Loss of each input against the float model in torch; infinite where the outputs are not finite."""
    import torch

    module, run = bench.model.module(), reference(quantized)
    with torch.no_grad():
        found = [measure(bench.loss, tuple(module(*sample)), run(*sample)) for sample in inputs]
    return [loss if math.isfinite(loss) else math.inf for loss in found]
