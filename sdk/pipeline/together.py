"""What a plan's layers lose together, before anything is lowered, and the rounding that it asks for."""

from __future__ import annotations

import math

from sdk.lowering import Quantized
from sdk.pipeline.workbench import Workbench
from sdk.planning import Plan
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


def quantized_by(plan: Plan, bench: Workbench, report: Reporter) -> Quantized:
    """Return the model on the grids of `plan`.

    Every layer is rounded for itself, as it was scored. Where the layers then lose far more together than one by one, they
    are rounded in order, each making up for those before it; of the two the one is returned that loses less.
    """
    schemes = {name: scheme_named(scheme) for name, scheme in plan.schemes.items()}
    static = any(scheme.activations == "static" for scheme in schemes.values())
    ranges = bench.ranges if static else {}
    with report.stage("quantize"):
        alone = quantize(bench.model, schemes, ranges, bench.statistics)
        if not walkable(bench.model, bench.samples):
            return alone
        lost = _loss(alone, bench)
        if lost <= max(LITTLE, FAR * plan.predicted.loss):
            return alone
        together = quantize(bench.model, schemes, ranges, bench.statistics, bench.samples)
        return together if not _loss(together, bench) >= lost else alone


def _loss(quantized: Quantized, bench: Workbench) -> float:
    """Loss against the float model in torch; infinite where the outputs are not finite."""
    import torch

    module, run = bench.model.module(), reference(quantized)
    inputs = bench.samples.some(SAMPLES if bench.model.language is None else WINDOWS)
    with torch.no_grad():
        lost = sum(measure(bench.loss, tuple(module(*sample)), run(*sample)) for sample in inputs) / len(inputs)
    return lost if math.isfinite(lost) else math.inf
