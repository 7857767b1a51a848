"""Where artifacts differ from the quantized torch model, layer by layer: `python -m benchmarks.rounding`.

Every quantized layer is lowered next to the others with an input of its own and fed the values that the quantized
torch model feeds it, so that nothing compounds. What is left is whether that layer computes what was planned.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bundles import BUDGETS, TOOLS
from benchmarks.cases import CASES
from benchmarks.isolated import measure, work
from benchmarks.packaged import DEVICES
from benchmarks.results_file import intro, read, save, table, write_page

SAMPLES = 8
COLUMNS = {
    "case": "model", "target": "target", "max_bytes": "budget MB", "schemes": "layers by scheme",
    "worst": "worst layer alone", "worst_layer": "which", "same": "values equal to the bit",
    "whole": "whole model", "floor": "whole model, parameters moved by 1e-6", "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure every pair of the benchmark table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=CASES, help="only this model (repeatable)")
    parser.add_argument("--target", action="append", choices=TOOLS, help="only this runtime (repeatable)")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds that one row may take")
    parser.add_argument("--cache", type=Path, help="folder whose scores are used; a fresh one otherwise")
    options = parser.parse_args()
    rows = {(row["case"], row["target"], row["max_size"]): row for row in read("rounding")["rows"]}
    with tempfile.TemporaryDirectory() as fresh:
        for case, target, size in BUDGETS:
            wanted = case in (options.case or CASES) and target in (options.target or TOOLS)
            if wanted and target != "coreml":
                job = {"case": case, "target": target, "max_size": size}
                row = measure("benchmarks.rounding", job, options.timeout, options.cache or Path(fresh))
                rows[case, target, size] = row
                print(json.dumps(row), flush=True)
                save("rounding", [rows[key] for key in BUDGETS if key in rows])
    page()


def pair(case: str, target: str, max_size: int) -> dict[str, Any]:
    """Plan and quantize one pair; compare layer by layer and as a whole."""
    from collections import Counter

    from sdk.pipeline.planning import plan_request
    from sdk.pipeline.request import Request
    from sdk.progress import SilentReporter
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named
    from sdk.verify import compare

    warnings.filterwarnings("ignore")
    chosen = CASES[case]
    request = Request(
        model=chosen.reference, device=DEVICES[target], target=target, max_size=max_size,
        calibration=chosen.calibration, loss=chosen.loss,
    )
    planned = plan_request(request, SilentReporter())
    bench, runtime = planned.workbench, planned.target
    schemes = {name: scheme_named(scheme) for name, scheme in planned.plan.schemes.items()}
    quantized = quantize(planned.model, schemes, bench.ranges, bench.statistics)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runtime.artifact
        runtime.lower(quantized, path, planned.min_os, lambda _: None)
        whole = compare(bench.model, quantized, runtime.open(path), runtime.reference, bench.samples, planned.plan.loss)
    layers = alone(quantized, runtime, bench.samples.inputs[0])
    worst = max(layers, key=lambda name: layers[name][0])
    values = sum(count for _, _, count in layers.values())
    counts = Counter(planned.plan.schemes.values())
    return {
        "schemes": ", ".join(f"{count} {name}" for name, count in sorted(counts.items())),
        "worst": layers[worst][0], "worst_layer": worst,
        "same": f"{sum(same for _, same, _ in layers.values()) / values:.2%}",
        "whole": whole.relative_error, "floor": whole.floor,
    }


def alone(quantized: Any, runtime: Any, sample: tuple[Any, ...]) -> dict[str, tuple[float, int, int]]:
    """Layer → (relative error, values equal to the bit, values) of the layers that compute in 8 bits."""
    import torch

    from sdk.models.load import load_model

    module, inputs, names = apart(quantized, runtime, sample)
    model = load_model(module, inputs)
    found = {layer.name: layer for layer in model.inventory.layers}
    ranges = {}
    for name in names:
        old = quantized.model.inventory[name]
        pairs = ((found[name].input, old.input), (found[name].output, old.output))
        ranges |= {new: quantized.ranges[was] for new, was in pairs if was in quantized.ranges}
    part = replace(
        quantized, model=model, schemes={name: quantized.schemes[name] for name in names},
        grids={name: quantized.grids[name] for name in names}, ranges=ranges,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runtime.artifact
        runtime.lower(part, path, None, lambda _: None)
        got = runtime.open(path).run([value.numpy() for value in inputs])
    wanted = runtime.reference(part)(*inputs)
    out = {}
    for name, array, value in zip(names, got, wanted, strict=True):
        given = torch.as_tensor(array)
        error = float((given - value).norm() / value.norm())
        out[name] = (error, int((given == value).sum()), value.numel())
    return out


def apart(quantized: Any, runtime: Any, sample: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], list[str]]:
    """A module of all 8-bit layers side by side, with what the quantized model feeds each on `sample`."""
    import torch

    module = quantized.model.module()
    weights = {layer.weights[0]: layer for layer in quantized.model.inventory.layers}
    values = fed(quantized, runtime, sample)
    graph, names, results, inputs = torch.fx.Graph(), [], [], []
    for node in module.graph.nodes:
        weight = getattr(node.args[1], "target", None) if node.op == "call_function" and len(node.args) > 1 else None
        layer = weights.get(weight)
        if layer is None or layer.name in names or quantized.schemes[layer.name].activations == "float":
            continue
        kept = {node.args[0]: graph.placeholder(f"input_{len(names)}")}
        made = graph.node_copy(node, lambda old, kept=kept: kept.get(old) or graph.get_attr(old.target))
        for name in layer.fused[1:]:
            follower = next(n for n in module.graph.nodes if n.name == name)
            made = graph.node_copy(follower, lambda old, made=made: made)
        names.append(layer.name)
        inputs.append(values[layer.name])
        results.append(made)
    graph.output(tuple(results))
    placed = [n for n in graph.nodes if n.op == "placeholder"]
    first = next(iter(graph.nodes))
    for node in placed:
        first.prepend(node)
    return torch.fx.GraphModule(module, graph), tuple(inputs), names


def fed(quantized: Any, runtime: Any, sample: tuple[Any, ...]) -> dict[str, Any]:
    """Layer → the input that the runtime's reference of the whole model gives it (float32)."""
    import torch

    seen: dict[str, Any] = {}
    reference = runtime.reference(quantized)
    inner = reference.__closure__
    module = next(cell.cell_contents for cell in inner if isinstance(cell.cell_contents, torch.nn.Module))
    by_node = {f"integers_{node.name}": layer for node, layer in operators(quantized)}
    for name, layer in by_node.items():
        getattr(module, name).register_forward_pre_hook(
            lambda _, args, layer=layer: seen.setdefault(layer, args[0].detach().clone().contiguous())
        )
    reference(*sample)
    return seen


def operators(quantized: Any) -> list[tuple[Any, str]]:
    """(node, layer) of every operator that computes in 8 bits."""
    weights = {layer.weights[0]: layer.name for layer in quantized.model.inventory.layers}
    found = []
    for node in quantized.model.module().graph.nodes:
        weight = getattr(node.args[1], "target", None) if node.op == "call_function" and len(node.args) > 1 else None
        name = weights.get(weight)
        if name is not None and quantized.schemes[name].activations != "float":
            found.append((node, name))
    return found


def page() -> None:
    """Write the page from the results."""
    document = read("rounding")
    rows = [row | {"max_bytes": row["max_size"]} for row in document["rows"]]
    note = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    said = (
        "The reference computes in the integers of the 8-bit kernels and rounds each float step as they do, so a layer "
        "alone agrees to the last bits. What the whole model differs by comes from float operators between the layers "
        "(normalisation, softmax, GELU), whose last bit torch and the runtime round differently: where a value sits "
        "on the border of two 8-bit codes that bit becomes a whole step, and the next layers see another input. The "
        "last column is the same amplification measured without any runtime: the quantized torch model against itself "
        f"with its float parameters moved by 1e-6. Whole model: {SAMPLES} samples."
    )
    made = intro("benchmarks.rounding", document)
    write_page("rounding", "Rounding, layer by layer", made, note, table(rows, COLUMNS), said)


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(pair)
    else:
        main()
