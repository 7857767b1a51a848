"""What planning costs: scoring against a pass over the data, new budgets, and large problems with four limits.

    python -m benchmarks.planning                                      the examples, and the large problems
    python -m benchmarks.planning SmolLM2-135M --model=permuted.gguf   a language model (see `benchmarks.permuted`)
    python -m benchmarks.planning --page                               only rewrites docs/benchmarks/planning.md

Processor seconds, since others may use the machine; scoring starts from an empty cache.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, DEVICES
from benchmarks.isolated import measure, work
from benchmarks.results_file import intro, read, save, table, write_page

BUDGETS = 12
LAYERS, SCHEMES, PROBLEMS = 500, 16, 7
COLUMNS = {
    "case": "example", "samples": "samples", "schemes": "(layer, scheme) scored", "pass_seconds": "forward and backward, s",
    "statistics_seconds": "statistics, s", "score_seconds": "scoring, s", "ratio": "scoring and statistics / pass",
    "resolve_ms": "new budget, ms (worst)",
    "predicted_ms": "new limit on memory, ms (median, worst)", "pass_memory": "peak memory of the pass / float model",
    "memory": "of statistics and scoring / float model",
}  # fmt: skip
LARGE = {"what": "limits", "median_ms": "median, ms", "worst_ms": "worst, ms", "proved": "solved to gap 0"}


def one(case: str, model: str = "") -> dict[str, Any]:
    """Costs of one example, or of the language `model`, in a process of its own."""
    import torch

    from sdk.pipeline import Workbench, make_plan
    from sdk.pipeline.planning import score_together
    from sdk.progress import SilentReporter

    torch.set_num_threads(1)
    report = SilentReporter()
    requests = _language(model) if model else _example(case)
    _warm()
    bench = Workbench(requests[0], report)
    floats = sum(4 * layer.parameters for layer in bench.model.inventory.layers)
    with _peak() as passed:
        passing = _spent(lambda: _pass(bench))
    with _peak() as found:
        taking = _spent(lambda: bench.statistics)
        ranging = _spent(lambda: bench.ranges)
        scoring = _spent(lambda: score_together(requests, bench))
    planned = make_plan(requests[0], report, bench)
    return {
        "case": case, "samples": len(bench.samples), "schemes": sum(len(c.options) for c in planned.problem.choices),
        "pass_seconds": passing, "statistics_seconds": taking + ranging, "score_seconds": scoring,
        "ratio": (taking + ranging + scoring) / passing, "resolve_ms": max(_resolve(planned.problem)),
        "predicted_ms": _both(list(_rechosen(planned))),
        "pass_memory": passed[0] / floats, "memory": found[0] / floats,
    }  # fmt: skip


def _warm() -> None:
    """Do all of it with a network of some weights: the code of libraries is not the model's memory."""
    import torch

    from sdk.pipeline import Request, Workbench
    from sdk.pipeline.planning import score_together
    from sdk.progress import SilentReporter

    samples = [(torch.randn(1, 3, 32, 32),) for _ in range(4)]
    requests = [
        Request(model=f"{__name__}:small", device=device, target=name, calibration=samples) for name, device in DEVICES.items()
    ]
    bench = Workbench(requests[0], SilentReporter())
    _pass(bench)
    score_together(requests, bench)


def small() -> Any:
    """A network of each kind of layer that is common, and its example input."""
    import torch

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2), torch.nn.ReLU6(), torch.nn.Conv2d(16, 16, 3, groups=16), torch.nn.ReLU6(),
        torch.nn.Conv2d(16, 32, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, 10),
    )  # fmt: skip
    return network.eval(), (torch.zeros(1, 3, 32, 32),)


def _example(case: str) -> list[Any]:
    from sdk.pipeline import Request

    subject = CASES[case]
    return [
        Request(model=subject.reference, device=device, target=name, calibration=subject.calibration, loss=subject.loss)
        for name, device in DEVICES.items()
    ]


def _language(model: str) -> list[Any]:
    from benchmarks.planners.language_subject import LanguageSubject

    return [LanguageSubject(model).request]


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Bytes that the process held at most beyond what it held before, once it is over."""
    from sdk.heap import give_back

    gc.collect()
    give_back()  # what is free already would hide what is taken
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # from here on VmHWM is the highest (man 5 proc)
    before, found = _status("VmRSS"), list[int]()
    yield found
    found.append(_status("VmHWM") - before)


def _pass(bench: Any) -> None:
    """Each sample once forward and once backward, gradients of all weights."""
    import torch

    module = bench.model.module()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    for inputs in bench.samples.inputs:
        outputs = [each for each in module(*inputs) if each.is_floating_point()]
        torch.autograd.backward([each.square().sum() for each in outputs])
        module.zero_grad()


def _resolve(problem: Any) -> Iterator[float]:
    """Milliseconds of each of BUDGETS new budgets on a scored problem."""
    from sdk.planning import Limits, solve

    least = problem.base + sum(min(o.bytes for o in c.options) for c in problem.choices)
    most = problem.base + sum(max(o.bytes for o in c.options) for c in problem.choices)
    for step in range(1, BUDGETS + 1):
        size = least + (most - least) * step // (BUDGETS + 1)
        yield 1e3 * _spent(lambda size=size: solve(problem, Limits(max_size=size)))


def _rechosen(planned: Any) -> Iterator[float]:
    """Milliseconds of choosing within limits on memory between the least and that of floats, and of the least memory itself."""
    from sdk.progress import SilentReporter

    request = replace(planned.chooser.request, max_size=None, max_loss=None)

    def choose(**budgets: Any) -> Any:
        return replace(planned.chooser, request=replace(request, **budgets)).choose(SilentReporter()).predicted.peak_memory

    most = choose(uniform="fp32")
    if most is None:
        return
    found: list[Any] = []
    yield 1e3 * _spent(lambda: found.append(choose(objective="least-memory", max_loss=0.02)))
    for step in range(1, BUDGETS + 1):
        limit = int(found[0].value + (most.value - found[0].value) * step / (BUDGETS + 1))
        yield 1e3 * _spent(lambda limit=limit: choose(max_memory=limit))


def _both(spent: list[float]) -> str | None:
    return f"{statistics.median(spent):.0f}, {max(spent):.0f}" if spent else None


def large() -> Iterator[dict[str, Any]]:
    """Random problems as large as a language model's, with size alone and with four limits."""
    from sdk.planning import Limits, solve

    for what in ("size", "size, loss, memory and latency"):
        spent, proved = [], 0
        for seed in range(PROBLEMS):
            problem, limits = _large(seed)
            wanted = limits if what != "size" else Limits(max_size=limits.max_size)
            found: list[Any] = []
            spent.append(1e3 * _spent(lambda p=problem, w=wanted, f=found: f.append(solve(p, w, "quality"))))
            proved += found[0].gap == 0
        yield {
            "what": what, "median_ms": statistics.median(spent), "worst_ms": max(spent), "proved": f"{proved} of {PROBLEMS}",
        }  # fmt: skip


def _large(seed: int) -> tuple[Any, Any]:
    from sdk.planning import Choices, Limits, Option, Problem, Row

    numbers = random.Random(seed)
    choices, memory, latency = [], {}, {}
    for i in range(LAYERS):
        size, weight = numbers.randrange(10_000, 4_000_000), numbers.lognormvariate(0, 2)
        bits = sorted(numbers.uniform(1, 16) for _ in range(SCHEMES))
        options = [
            Option(f"s{k}", int(size * b / 8), weight * 4.0**-b * numbers.uniform(0.5, 2)) for k, b in enumerate(bits)
        ]
        name = f"layer{i}"
        choices.append(Choices(name, "linear", tuple(sorted(options, key=lambda o: (o.bytes, o.loss)))))
        memory[name] = {o.scheme: o.bytes * numbers.uniform(1, 3) for o in options}
        latency[name] = {o.scheme: o.bytes * numbers.uniform(0.5, 1.5) * 1e-6 for o in options}
    rows = (Row("max_memory", "", 0.0, memory), Row("max_latency", "", 0.0, latency))

    def between(amounts: list[list[float]], share: float) -> float:
        return sum(min(a) + share * (max(a) - min(a)) for a in amounts)

    size_limit = between([[float(o.bytes) for o in c.options] for c in choices], 0.3)
    memory_limit, latency_limit = (between([list(a.values()) for a in each.values()], 0.3) for each in (memory, latency))
    return Problem(0, tuple(choices), rows), Limits(int(size_limit), 1e3, int(memory_limit), latency_limit)


def _spent(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def _status(field: str) -> int:
    """Bytes of this process by the name that Linux gives them."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def page() -> None:
    """Write the page from the rows."""
    document = read("planning")
    examples = [row for row in document["rows"] if "case" in row]
    problems = [row for row in document["rows"] if "case" not in row]
    write_page(
        "planning", "What planning costs", intro("benchmarks.planning", document),
        "Everything that three targets may choose is scored at once, of the language model what ExecuTorch may; memory is the "
        "highest above what Python, its libraries and the loaded model held before, of one forward and backward pass with "
        "gradients of all weights, and of taking statistics and scoring. Processor time of one thread. "
        "The marks are 10 passes and 3 times the float model for the photo classifier, and 360 s of scoring for SmolLM2. All are "
        "met. Of smaller networks the activations and second moments take more than the few weights: a pass holds five times "
        "page-orientation's. Limits on memory are kept by predictions of whole plans, of which some hundreds are made.",
        table(examples, COLUMNS), f"## {LAYERS} layers of {SCHEMES} schemes", table(problems, LARGE),
    )  # fmt: skip


def main() -> None:
    """Measure each example in a process of its own, then the large problems, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", help="of benchmarks.cases, or any name with --model; default: all examples")
    parser.add_argument("--model", default="", help="the GGUF file of a language model")
    parser.add_argument("--page", action="store_true", help="only rewrite the page from the results")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if not options.page:
        names = options.case or list(CASES)
        rows = [row for row in read("planning")["rows"] if row.get("case", names[0]) not in names]
        for name in names:
            row = measure("benchmarks.planning", {"case": name, "model": options.model}, 3600)
            print(row, flush=True)
            rows.append({key: value for key, value in row.items() if key not in ("wall_seconds", "model")})
        order = list(CASES)
        rows.sort(key=lambda row: order.index(row["case"]) if row["case"] in CASES else len(order))
        save("planning", [*rows, *large()])
    page()


if __name__ == "__main__":
    work(one) if sys.argv[1:] and sys.argv[1].startswith("{") else main()
