"""Convolutions made static int8 for ExecuTorch: ours beside the stock quantizer: `python -m benchmarks.preparation`.

Both begin with the exported EfficientNet-Lite0 and end with a graph in which every convolution is marked for int8:
ours by writing codes, scales and borders by the layers' names, the stock one by `prepare_pt2e` with `XNNPACKQuantizer`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.cases import CASES
from benchmarks.isolated import measure, work
from benchmarks.results_file import intro, read, save, table, write_page

CASE = "photo-classifier"
ALLOWED = 2.0
"""Seconds that ours may take."""
COLUMNS = {
    "who": "preparation", "layers": "convolutions marked", "cpu_seconds": "processor seconds",
    "wall": "seconds", "load": "load", "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure both in processes of their own and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one may take")
    options = parser.parse_args()
    rows = []
    for who in WAYS:
        rows.append(measure("benchmarks.preparation", {"who": who}, options.timeout))
        print(json.dumps(rows[-1]), flush=True)
    save("preparation", rows)
    page()


def prepare(who: str) -> dict[str, Any]:
    """Set up, then time one way of preparing; processor seconds are those of this process."""
    import os

    warnings.filterwarnings("ignore")
    timed = WAYS[who]()
    load, wall, busy = os.getloadavg()[0], time.perf_counter(), time.process_time()
    layers = timed()
    return {
        "layers": layers, "cpu_seconds": time.process_time() - busy, "wall": f"{time.perf_counter() - wall:.1f}",
        "load": load,
    }


def ours() -> Callable[[], int]:
    """Round the weights and write the quantized graph; ranges are given, as observers are not run either."""
    from sdk.lowering.types import Range
    from sdk.models.load import load_model
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named
    from targets.executorch.graph import write_plan

    model = load_model(CASES[CASE].reference, None)
    layers = [layer for layer in model.inventory.layers if layer.kind in ("conv2d", "depthwise")]
    schemes = {layer.name: scheme_named("int8_channel_static") for layer in layers}
    ranges = {name: Range(0.05, 0) for layer in layers for name in (layer.input, layer.output)}

    def timed() -> int:
        module = write_plan(quantize(model, schemes, ranges))
        return sum("dequantize_per_channel" in str(node.target) for node in module.graph.nodes)

    timed()  # the first call imports
    return timed


def stock() -> Callable[[], int]:
    """Prepare the exported float network with the backend's own quantizer."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    network, example = CASES[CASE].loaded
    program = torch.export.export(network, example).module()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))

    def timed() -> int:
        prepared = prepare_pt2e(program, quantizer)
        convolutions = [node for node in prepared.graph.nodes if "conv2d" in str(node.target)]
        return sum(node.args[1].op == "call_module" for node in convolutions)

    return timed


WAYS: dict[str, Callable[[], Callable[[], int]]] = {"ours": ours, "stock XNNPACKQuantizer": stock}


def page() -> None:
    """Write the page from the results."""
    document = read("preparation")
    note = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    said = (
        f"At most {ALLOWED:.0f} s are allowed. Processor seconds do not count other programs on this machine. "
        "Rounding the weights is part of ours; calibration and lowering are part of neither."
    )
    made = intro("benchmarks.preparation", document)
    write_page("preparation", "Preparing convolutions", made, note, table(document["rows"], COLUMNS), said)


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(prepare)
    else:
        main()
