"""Predicted against measured: one layer at a time, and whole plans.

    python -m benchmarks.estimator [CASE …]      measures these cases (default: all) and writes docs/benchmarks/estimator.md
    python -m benchmarks.estimator --page        writes the page from the rows

One layer at a time is quantized and everything else left in float; the loss is measured in torch on inputs that the
calibration did not see. Whole plans are those of the sizes between the smallest file and the loss-free one.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.results_file import intro, read, save, table, write_page

WIDTHS = {8: "int8_channel", 6: "lut6", 4: "int4_channel", 3: "lut3"}
INPUTS = 24
TARGETS = {"tflite": "pixel8", "executorch": "pixel8", "coreml": "iphone15pro"}
SHARES = (0.1, 0.2, 0.35, 0.6)
"""Sizes of the whole plans: shares of the way from the smallest file to the loss-free one."""

ALONE = {
    "case": "example", "loss": "loss", "bits": "bits", "scheme": "scheme", "layers": "layers", "rank": "Spearman",
    "ratio": "measured / predicted, median", "within": "layers within a factor of 2",
}  # fmt: skip
WHOLE = {
    "case": "example", "target": "target", "bytes": "MB", "predicted": "predicted", "unseen": "measured, unseen",
    "factor": "unseen / predicted",
}  # fmt: skip


def alone(case: Case, bench: Any) -> Iterator[dict[str, Any]]:
    """Rows of one layer at a time, a row per width."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped, unused-ignore]

    for bits, scheme in WIDTHS.items():
        layers = [layer for layer in bench.model.inventory.layers if layer.kind != "embedding"]
        predicted = [found[scheme] for found in _predicted(bench, layers, scheme).values()]
        measured = [_measured(case, bench, {layer.name: scheme}) for layer in layers]
        ratios = [m / p for m, p in zip(measured, predicted, strict=True) if p > 0]
        yield {
            "part": "alone", "case": case.name, "loss": bench.loss, "bits": bits, "scheme": scheme, "layers": len(layers),
            "rank": float(spearmanr(predicted, measured).statistic), "ratio": median(ratios),
            "within": f"{sum(0.5 <= ratio <= 2 for ratio in ratios)} of {len(ratios)}",
        }  # fmt: skip


def _predicted(bench: Any, layers: Sequence[Any], scheme: str) -> dict[str, dict[str, float]]:
    from sdk.schemes import scheme_named

    wanted = {layer.name: [scheme_named(scheme)] if layer in layers else [] for layer in bench.model.inventory.layers}
    found = bench.losses(wanted)
    return {layer.name: found[layer.name] for layer in layers}


def _measured(case: Case, bench: Any, schemes: dict[str, str]) -> float:
    """Loss on unseen inputs of the model with these layers quantized, each rounded for itself."""
    import torch

    from sdk.quantize import quantize, reference
    from sdk.schemes import scheme_named
    from sdk.sensitivity import measure

    whole = {layer.name: scheme_named(schemes.get(layer.name, "fp32")) for layer in bench.model.inventory.layers}
    run, module = reference(quantize(bench.model, whole, {}, bench.statistics)), bench.model.module()
    with torch.no_grad():
        losses = [measure(bench.loss, tuple(module(*x)), run(*x)) for x in case.held_out[:INPUTS]]
    return sum(losses) / len(losses)


def whole(case: Case, bench: Any) -> Iterator[dict[str, Any]]:
    """Rows of whole plans, as `sdk plan` makes them by default."""
    import torch

    from sdk.pipeline import Request, make_plan
    from sdk.pipeline.together import quantized_by
    from sdk.planning import front
    from sdk.progress import SilentReporter
    from sdk.quantize import reference
    from sdk.sensitivity import measure

    report = SilentReporter()
    for target, device in TARGETS.items():
        asked = Request(model=case.reference, device=device, target=target, loss=case.loss, max_loss=100.0)
        points = front(make_plan(asked, report, bench).problem)
        least, most = points[0].bytes, points[-1].bytes
        for share in SHARES:
            size = int(least + share * (most - least))
            asked = Request(model=case.reference, device=device, target=target, loss=case.loss, max_size=size)
            plan = make_plan(asked, report, bench).plan
            run, module = reference(quantized_by(plan, bench, report)), bench.model.module()
            with torch.no_grad():
                losses = [measure(bench.loss, tuple(module(*x)), run(*x)) for x in case.held_out[:INPUTS]]
            unseen = sum(losses) / len(losses)
            yield {
                "part": "whole", "case": case.name, "target": target, "bytes": plan.predicted.artifact_bytes,
                "predicted": plan.predicted.loss, "unseen": unseen,
                "factor": unseen / plan.predicted.loss if plan.predicted.loss else None,
            }  # fmt: skip


def page() -> None:
    """Write the page from the rows."""
    document = read("estimator")
    first = [row for row in document["rows"] if row["part"] == "alone"]
    plans = [row for row in document["rows"] if row["part"] == "whole"]
    factors = [max(row["factor"], 1 / row["factor"]) for row in plans if row["factor"] and row["unseen"] < 0.1]
    close = f"{sum(factor <= 1.5 for factor in factors)} of {len(factors)} plans that lose less than 0.1 on unseen inputs are " \
        "predicted within a factor of 1.5" if factors else "No plan was measured"  # fmt: skip
    write_page(
        "estimator", "Predicted and measured losses", intro("benchmarks.estimator", document),
        f"Losses in torch; unseen: {INPUTS} inputs outside of the calibration.",
        "## One layer at a time", "Only this layer is quantized, everything else stays float.", table(first, ALONE),
        "## Whole plans", f"`predicted` is what `sdk plan` says: the sum of the layers. {close}.", table(plans, WHOLE),
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    """Measure the cases named, or all."""
    from sdk.pipeline import Request, Workbench
    from sdk.progress import SilentReporter

    warnings.filterwarnings("ignore")
    for name in [each for each in arguments if each != "--page"] or ([] if arguments else list(CASES)):
        case = CASES[name]
        request = Request(model=case.reference, device="pixel8", calibration=case.calibration, loss=case.loss)
        bench = Workbench(request, SilentReporter())
        kept = [row for row in read("estimator")["rows"] if row["case"] != name]
        rows = [*alone(case, bench), *whole(case, bench)]
        save("estimator", sorted([*kept, *rows], key=lambda row: list(CASES).index(row["case"])))
        print(f"{name}: done", flush=True)
    page()


if __name__ == "__main__":
    main(sys.argv[1:])
