"""What scores say against measurement, layer by layer and plan by plan: `python -m benchmarks.estimator [CASE …] [--plans]`.

One layer at a time is rounded and the model is run: on either half of the calibration inputs with what the other half rounded, as
scores do, and on unseen inputs. Its losses are compared with the predicted one of this layer and scheme; then whole plans.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.cases import CASES
from benchmarks.planner import planned_within, prepare, quantized_as, sizes
from benchmarks.planners.subject import WIDTHS, Subject
from benchmarks.results_file import intro, read, save, table, write_page

INPUTS = 24
"""Unseen inputs for layers, evenly spread over those of the example."""

LEAST_BITS = 3

MATTERS = 0.1
"""Loss of a plan below which predictions are to hold."""
RANKS = 0.95
"""Rank correlation that the predicted losses of layers are to have with the measured ones."""

COLUMNS = {
    "case": "example", "bits": "bits", "layers": "layers", "seen": "Spearman, calibration inputs",
    "unseen": "unseen inputs",
    "between": "measured on one and the other", "ratio": "predicted / measured (unseen), median", "spread": "within a factor 2",
    "least": "least measured", "most": "most measured",
}  # fmt: skip
PLANS = {
    "case": "example", "bytes": "MB", "predicted": "predicted", "crossed": "measured, calibration inputs",
    "crossed_ratio": "predicted / measured", "measured": "measured, unseen inputs", "error": "± of it",
    "ratio": "predicted / measured",
}  # fmt: skip


def layer_rows(subject: Subject, problem: Any) -> Iterator[dict[str, Any]]:
    """A row per width: predicted and measured losses of every layer that has a palette of it."""
    from scipy.stats import spearmanr

    from sdk.models.samples import parts_of

    halves, unseen_inputs = parts_of(subject.bench.samples.inputs), _some(subject.case.held_out)
    losses = {each.layer: {option.scheme: option.loss for option in each.options} for each in problem.choices}
    for bits, scheme in [each for each in WIDTHS.items() if each[0] >= LEAST_BITS]:
        names = [name for name in subject.layers if scheme in losses[name]]
        predicted = [losses[name][scheme] for name in names]
        seen, unseen = [], []
        for name in names:
            crossed = [subject.losses(_rounded(subject, name, scheme, 1 - half), halves[half]) for half in (0, 1)]
            seen.append(fmean([*crossed[0], *crossed[1]]))
            unseen.append(fmean(subject.losses(_rounded(subject, name, scheme, None), unseen_inputs)))
        ratios = [loss / real for loss, real in zip(predicted, unseen, strict=True) if real > 0]
        yield {
            "case": subject.case.name, "bits": bits, "layers": len(names), "seen": float(spearmanr(predicted, seen).statistic),
            "unseen": float(spearmanr(predicted, unseen).statistic), "between": float(spearmanr(seen, unseen).statistic),
            "ratio": median(ratios), "spread": sum(0.5 <= ratio <= 2 for ratio in ratios) / len(ratios),
            "least": min(unseen), "most": max(unseen),
        }  # fmt: skip


def plan_rows(subject: Subject) -> Iterator[dict[str, Any]]:
    """A row per size: the predicted loss, what the plan loses on calibration inputs that did not round it, and on all
    unseen inputs, with its standard error."""
    from sdk.pipeline.together import losses_together
    from sdk.progress import SilentReporter

    for size in sizes(subject):
        plan = planned_within(subject, size).plan
        apart = losses_together(plan, subject.bench, SilentReporter())
        assert apart is not None
        crossed = fmean(apart)
        losses = subject.losses(quantized_as(subject, plan), subject.case.held_out)
        predicted, measured = plan.predicted.loss, fmean(losses)
        yield {
            "case": subject.case.name, "bytes": size, "predicted": predicted, "crossed": crossed,
            "crossed_ratio": predicted / crossed, "measured": measured,
            "error": stdev(losses) / len(losses) ** 0.5, "ratio": predicted / measured,
        }  # fmt: skip


def _rounded(subject: Subject, layer: str, scheme: str, half: int | None) -> Any:
    """The model with one layer rounded, by all calibration samples or by one half of them."""
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named

    known = subject.bench.statistics
    return quantize(
        subject.bench.model, {layer: scheme_named(scheme)}, {},
        known if half is None else replace(known, parts=known.parts[half : half + 1]),
    )  # fmt: skip


def _some(inputs: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    count = min(INPUTS, len(inputs))
    return [inputs[i * len(inputs) // count] for i in range(count)]


def page() -> None:
    """Write the page from the rows."""
    document = read("estimator")
    rows, plans = document["rows"], document.get("plans", [])
    small = [row for row in plans if row["measured"] < MATTERS]
    within, unseen = (sum(1 / 1.5 <= row[key] <= 1.5 for row in small) for key in ("crossed_ratio", "ratio"))
    seen = [row["seen"] for row in rows]
    said = (
        f"Down to {LEAST_BITS} bits the rank correlation (Spearman) on calibration inputs is {min(seen):.3f} to {max(seen):.3f}, "
        f"below the mark of {RANKS} at {sum(each < RANKS for each in seen)} of {len(seen)}. "
        f"Of {len(small)} plans that lose less than {MATTERS} the predicted loss is within a factor of 1.5 of the one measured "
        f"on calibration inputs at {within}, of the one measured on unseen inputs at {unseen}."
    ) if rows and small else ""  # fmt: skip
    write_page(
        "estimator", "Predicted losses against measured ones", intro("benchmarks.estimator", document),
        f"Palettes of Core ML; the calibration inputs that scores were made from and {INPUTS} unseen ones for layers, all unseen "
        "ones of the example for plans. On a calibration input a layer is measured as the other half of them rounds it, as it is "
        "scored. *Measured on one and the other*: the rank correlation of what was measured on calibration inputs with what was "
        "measured on unseen ones, which a prediction from the former cannot be expected to beat. A plan is predicted of the sum "
        "of its layers' scores; on calibration inputs it is measured by quarters, each as the other three round it, as the SDK's "
        "own refinement does. Unseen inputs are other drawn pages, but of other kinds elsewhere: ImageNet pictures where crops "
        "of bricks, grass and the moon calibrate, voices in other languages, film reviews beside news.",
        said, table(rows, COLUMNS), table(plans, PLANS),
    )  # fmt: skip


def main() -> None:
    """Measure the cases named, or all, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help="of benchmarks.cases; default: all")
    parser.add_argument("--plans", action="store_true", help="measure plans alone, and keep the rows of layers")
    parser.add_argument("--page", action="store_true", help="only rewrite the page from the results")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in [] if options.page else options.case or list(CASES):
        document = read("estimator")
        rows, plans = ([row for row in document.get(key, []) if row["case"] != name] for key in ("rows", "plans"))
        subject = prepare(CASES[name])
        problem = planned_within(subject, max(sizes(subject))).problem
        if options.plans:
            rows = document["rows"]
        for found, kept in (((), rows) if options.plans else (layer_rows(subject, problem), rows), (plan_rows(subject), plans)):
            for row in found:
                print(json.dumps(row), flush=True)
                kept.append(row)
        order = list(CASES).index
        save("estimator", sorted(rows, key=lambda r: order(r["case"])), plans=sorted(plans, key=lambda r: order(r["case"])))
    page()


if __name__ == "__main__":
    main()
