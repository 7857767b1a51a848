"""What a plan's layers lose together, before anything is lowered, and the rounding that it asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdk.cache import code_digest, key_of, versions
from sdk.lowering import Quantized, Range
from sdk.models.samples import halves
from sdk.pipeline.kept import QUANTIZING
from sdk.pipeline.workbench import Workbench
from sdk.planning import Plan, summed
from sdk.progress import Reporter
from sdk.quantize import quantize, reference, walkable
from sdk.rounding import Statistics
from sdk.schemes import Scheme, scheme_named
from sdk.sensitivity import measure

FAR = 1.5
"""Times the predicted loss beyond which the layers of a plan make each other worse."""

LITTLE = 5e-4
"""Loss below which that is not worth the time."""

SAMPLES, WINDOWS = 24, 2
"""Calibration samples that the loss is measured on; windows of a language model."""

_FILE = "loss.json"


def quantized_by(plan: Plan, bench: Workbench, report: Reporter) -> Quantized:
    """Return the model on the grids of `plan`.

    Every layer is rounded for itself, as it was scored. Where the layers then lose far more together than one by one, they
    are rounded in order, each making up for those before it; of the two the one is returned that loses less.
    """
    schemes, ranges = _schemes(plan), _ranges(plan, bench)
    with report.stage("quantize"):
        alone = quantize(bench.model, schemes, ranges, bench.statistics)
        if not walkable(bench.model, bench.samples):
            return alone
        inputs = bench.samples.some(SAMPLES if bench.model.language is None else WINDOWS)
        lost = _loss(alone, bench, inputs)
        if lost <= max(LITTLE, FAR * summed(plan)):
            return alone
        together = quantize(bench.model, schemes, ranges, bench.statistics, bench.samples)
        return together if not _loss(together, bench, inputs) >= lost else alone


def loss_together(plan: Plan, bench: Workbench, report: Reporter) -> float | None:
    """Return what the layers of `plan` lose together in torch on inputs that nobody calibrated with; kept in the cache.

    As in scoring, each half of the samples judges the model that the other half rounded. None where there are no two halves
    of data, for language models, and where the model is too big to be tried.
    """
    if not walkable(bench.model, bench.samples) or bench.model.language is not None or len(bench.samples) < 2:
        return None
    key = key_of(
        "together", bench.model.digest, bench.samples.digest, bench.loss, plan.schemes, code_digest(*QUANTIZING),
        versions("numpy", "torch", "torchao"),
    )
    return bench.kept.cache.fetch(
        "together", key, make=lambda: _crossed(plan, bench, report), save=_save,
        load=lambda entry: float(json.loads((entry / _FILE).read_text("utf-8"))),
    )


def _save(loss: float, entry: Path) -> None:
    (entry / _FILE).write_text(json.dumps(loss), encoding="utf-8")


def _crossed(plan: Plan, bench: Workbench, report: Reporter) -> float:
    """Mean loss of the two models that a half of the samples rounded each, on the other half; rounded as `quantized_by` does."""
    with report.stage("try plan"):
        alone = _by_halves(plan, bench, in_order=False)
        if alone <= max(LITTLE, FAR * summed(plan)):
            return alone
        return min(alone, _by_halves(plan, bench, in_order=True))


def _by_halves(plan: Plan, bench: Workbench, in_order: bool) -> float:
    first, second = halves(bench.samples.inputs)
    found = []
    for index, (seen, unseen) in enumerate(((first, second), (second, first))):
        known = Statistics(bench.statistics.importance, bench.statistics.halves[index : index + 1])
        samples = replace(bench.samples, inputs=tuple(seen)) if in_order else None
        quantized = quantize(bench.model, _schemes(plan), _ranges(plan, bench), known, samples)
        judges = replace(bench.samples, inputs=tuple(unseen)).some(SAMPLES // 2)
        found.append(_loss(quantized, bench, judges))
    return sum(found) / len(found)


def _schemes(plan: Plan) -> dict[str, Scheme]:
    return {name: scheme_named(scheme) for name, scheme in plan.schemes.items()}


def _ranges(plan: Plan, bench: Workbench) -> Mapping[str, Range]:
    static = any(scheme.activations == "static" for scheme in _schemes(plan).values())
    return bench.ranges if static else {}


def _loss(quantized: Quantized, bench: Workbench, inputs: Sequence[tuple[Any, ...]]) -> float:
    """Loss against the float model in torch; infinite where the outputs are not finite."""
    import torch

    module, run = bench.model.module(), reference(quantized)
    with torch.no_grad():
        lost = sum(measure(bench.loss, tuple(module(*sample)), run(*sample)) for sample in inputs) / len(inputs)
    return lost if math.isfinite(lost) else math.inf
