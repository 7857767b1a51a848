"""What a plan's layers lose together, before anything is lowered, and the rounding that it asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from sdk.cache import code_digest, key_of, versions
from sdk.lowering import Quantized
from sdk.pipeline.kept import QUANTIZING
from sdk.pipeline.workbench import Workbench
from sdk.planning import Plan, summed
from sdk.progress import Reporter
from sdk.quantize import quantize, reference, walkable
from sdk.schemes import scheme_named
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
    return _tried(plan, bench, report)[0]


def loss_together(plan: Plan, bench: Workbench, report: Reporter) -> float | None:
    """Return what the layers of `plan` lose together in torch, on SAMPLES calibration samples; from the cache where known.

    None where there is no data, or the model is too big to be tried.
    """
    if not walkable(bench.model, bench.samples) or bench.model.language is not None:
        return None
    key = key_of(
        "together", bench.model.digest, bench.samples.digest, bench.loss, plan.schemes, code_digest(*QUANTIZING),
        versions("numpy", "torch", "torchao"),
    )
    return bench.kept.cache.fetch(
        "together", key, make=lambda: _tried(plan, bench, report)[1],
        load=lambda entry: float(json.loads((entry / _FILE).read_text("utf-8"))),
        save=_save,
    )


def _save(loss: float | None, entry: Path) -> None:
    (entry / _FILE).write_text(json.dumps(loss), encoding="utf-8")


def _tried(plan: Plan, bench: Workbench, report: Reporter) -> tuple[Quantized, float | None]:
    """The model on the grids of `plan`, and what it loses in torch; the last one is kept for whoever lowers it."""
    if bench.tried is None or bench.tried[0] != plan.schemes:
        bench.tried = None  # before the next one takes its memory
        with report.stage("quantize"):
            bench.tried = (plan.schemes, *_rounded(plan.schemes, summed(plan), bench))
    return bench.tried[1:]


def _rounded(names: Mapping[str, str], predicted: float, bench: Workbench) -> tuple[Quantized, float | None]:
    schemes = {name: scheme_named(scheme) for name, scheme in names.items()}
    static = any(scheme.activations == "static" for scheme in schemes.values())
    ranges = bench.ranges if static else {}
    alone = quantize(bench.model, schemes, ranges, bench.statistics)
    if not walkable(bench.model, bench.samples):
        return alone, None
    lost = _loss(alone, bench)
    if lost <= max(LITTLE, FAR * predicted):
        return alone, lost
    together = quantize(bench.model, schemes, ranges, bench.statistics, bench.samples)
    found = _loss(together, bench)
    return (together, found) if not found >= lost else (alone, lost)


def _loss(quantized: Quantized, bench: Workbench) -> float:
    """Loss against the float model in torch; infinite where the outputs are not finite."""
    import torch

    module, run = bench.model.module(), reference(quantized)
    inputs = bench.samples.some(SAMPLES if bench.model.language is None else WINDOWS)
    with torch.no_grad():
        lost = sum(measure(bench.loss, tuple(module(*sample)), run(*sample)) for sample in inputs) / len(inputs)
    return lost if math.isfinite(lost) else math.inf
