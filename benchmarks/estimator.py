"""What scores say against measurement, layer by layer and plan by plan: `python -m benchmarks.estimator [CASE …]`.

One layer at a time is rounded, the model is run on unseen inputs, and its loss is compared with the one that was predicted for
this layer and scheme from the calibration data; then whole plans.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.cases import CASES
from benchmarks.planner import POINTS, prepare
from benchmarks.planners.subject import DEVICE, MIN_OS, TARGET, WIDTHS, Subject
from benchmarks.results_file import intro, read, save, table, write_page

INPUTS = 40
"""Unseen inputs, evenly spread over those of the example."""

MATTERS = 0.1
"""Loss of a plan below which predictions are to hold."""

COLUMNS = {
    "case": "example", "bits": "bits", "layers": "layers", "spearman": "Spearman", "halves": "of two halves of the inputs",
    "ratio": "predicted / measured, median", "spread": "within a factor 2", "least": "least measured", "most": "most measured",
}  # fmt: skip
PLANS = {"case": "example", "bytes": "MB", "predicted": "predicted", "measured": "measured", "error": "± of it", "ratio": "ratio"}


def layer_rows(subject: Subject, problem: Any) -> Iterator[dict[str, Any]]:
    """A row per width: predicted and measured losses of every layer that has a palette of it."""
    from scipy.stats import spearmanr

    inputs, losses = _inputs(subject), {each.layer: {o.scheme: o.loss for o in each.options} for each in problem.choices}
    for bits, scheme in WIDTHS.items():
        pairs = [(name, losses[name][scheme]) for name in subject.layers if scheme in losses[name]]
        found = [_measured(subject, {name: scheme}, inputs) for name, _ in pairs]
        measured = [sum(each) / len(each) for each in found]
        halves = [[sum(each[start::2]) for each in found] for start in (0, 1)]
        ratios = [loss / real for (_, loss), real in zip(pairs, measured, strict=True) if real > 0]
        yield {
            "case": subject.case.name, "bits": bits, "layers": len(pairs),
            "spearman": float(spearmanr([loss for _, loss in pairs], measured).statistic),
            "halves": float(spearmanr(*halves).statistic), "ratio": median(ratios),
            "spread": sum(0.5 <= ratio <= 2 for ratio in ratios) / len(ratios), "least": min(measured), "most": max(measured),
        }  # fmt: skip


def plan_rows(subject: Subject) -> Iterator[dict[str, Any]]:
    """A row per size: the loss that the plan promises, and the one on all unseen inputs, with its standard error."""
    from sdk.pipeline import Request, make_plan
    from sdk.pipeline.together import quantized_by
    from sdk.progress import SilentReporter

    report, case = SilentReporter(), subject.case
    for first, second in POINTS:
        size = sum(subject.size(dict.fromkeys(subject.layers, bits)) for bits in (first, second)) // 2
        request = Request(model=case.reference, device=DEVICE, target=TARGET, loss=case.loss, max_size=size, min_os=MIN_OS)
        plan = make_plan(request, report, subject.bench).plan
        losses = _losses(subject, quantized_by(plan, subject.bench, report), case.held_out)
        measured, count = sum(losses) / len(losses), len(losses)
        error = (sum((loss - measured) ** 2 for loss in losses) / count / (count - 1)) ** 0.5
        predicted = plan.predicted.loss
        yield {
            "case": case.name, "bytes": size, "predicted": predicted, "measured": measured, "error": error,
            "ratio": predicted / measured,
        }  # fmt: skip


def _inputs(subject: Subject) -> list[tuple[Any, ...]]:
    held_out = subject.case.held_out
    return [held_out[i * len(held_out) // INPUTS] for i in range(min(INPUTS, len(held_out)))]


def _measured(subject: Subject, schemes: dict[str, str], inputs: Any) -> list[float]:
    """Losses on `inputs` with only these layers rounded, as the SDK rounds them."""
    return _losses(subject, subject.rounded(schemes, True), inputs)


def _losses(subject: Subject, quantized: Any, inputs: Any) -> list[float]:
    from sdk.quantize import reference
    from sdk.sensitivity import measure

    run = reference(quantized)
    floats = subject.tables.setdefault(("floats", len(inputs)), [])
    if not floats:
        as_float = reference(type(quantized)(quantized.model, {}, {}, {}))
        floats += [as_float(*each) for each in inputs]
    return [measure(subject.bench.loss, want, run(*each)) for want, each in zip(floats, inputs, strict=True)]


def page() -> None:
    """Write the page from the rows."""
    document = read("estimator")
    rows, plans = document["rows"], document.get("plans", [])
    small = [row for row in plans if row["measured"] < MATTERS]
    within = sum(1 / 1.5 <= row["ratio"] <= 1.5 for row in small)
    high = [row for row in rows if row["bits"] >= 3]
    said = (
        f"Down to 3 bits the rank correlation (Spearman) is {min(row['spearman'] for row in high):.3f} to "
        f"{max(row['spearman'] for row in high):.3f}. Of {len(small)} plans that lose less than {MATTERS} the predicted loss is "
        f"within a factor of 1.5 of the measured one at {within}."
    ) if rows and small else ""  # fmt: skip
    write_page(
        "estimator", "Predicted losses against measured ones", intro("benchmarks.estimator", document),
        f"Palettes of Core ML; {INPUTS} unseen inputs for layers, all of the example's for plans. Predictions come from the "
        "calibration data alone. *Of two halves of the inputs*: the rank correlation of the losses measured on every other input "
        "with those on the rest, which bounds what any prediction can reach.",
        said, table(rows, COLUMNS), table(plans, PLANS),
    )  # fmt: skip


def main() -> None:
    """Measure the cases named, or all, and write the page."""
    from sdk.pipeline import Request, make_plan
    from sdk.progress import SilentReporter

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help="of benchmarks.cases; default: all")
    parser.add_argument("--page", action="store_true", help="only rewrite the page from the results")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in [] if options.page else options.case or list(CASES):
        document, case = read("estimator"), CASES[name]
        rows, plans = ([row for row in document.get(key, []) if row["case"] != name] for key in ("rows", "plans"))
        subject = prepare(case)
        request = Request(model=case.reference, device=DEVICE, target=TARGET, loss=case.loss, max_size=10**9, min_os=MIN_OS)
        problem = make_plan(request, SilentReporter(), subject.bench).problem
        for found, kept in ((layer_rows(subject, problem), rows), (plan_rows(subject), plans)):
            for row in found:
                print(json.dumps(row), flush=True)
                kept.append(row)
        order = list(CASES).index
        save("estimator", sorted(rows, key=lambda r: order(r["case"])), plans=sorted(plans, key=lambda r: order(r["case"])))
    page()


if __name__ == "__main__":
    main()
