"""Static int8 and float convolutions at random in one `.pte`: `python -m benchmarks.mixes`.

Each layer of EfficientNet-Lite0 is int8 or float32 by the toss of a seeded coin. The file is lowered, executed on
unseen photographs and compared with the torch model of the same quantization.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.isolated import measure, work
from benchmarks.results_file import intro, read, save, table, write_page

CASE, COUNT, SAMPLES = "photo-classifier", 5, 4
COLUMNS = {
    "seed": "seed", "static": "int8 layers", "floats": "float layers", "bytes": "MB", "delegates": "delegates",
    "realised": "realised as planned", "relative_error": "file vs quantized torch", "same": "outputs equal to the bit",
    "seconds": "seconds", "error": "failure",
}  # fmt: skip


def main() -> None:
    """Lower and run five mixes, each in a process of its own, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one mix may take")
    options = parser.parse_args()
    rows = []
    for seed in range(COUNT):
        rows.append(measure("benchmarks.mixes", {"seed": seed}, options.timeout))
        print(json.dumps(rows[-1]), flush=True)
        save("mixes", rows)
    page()


def mix(seed: int) -> dict[str, Any]:
    """Lower one mix; compare the file with the reference on unseen inputs."""
    import time

    from sdk.models.load import load_model
    from sdk.models.samples import take_samples
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named
    from sdk.sensitivity.ranges import calibrate_ranges
    from targets.executorch import TARGET
    from targets.executorch.program import read_program

    warnings.filterwarnings("ignore")
    case, started = CASES[CASE], time.perf_counter()
    model = load_model(case.reference, None)
    toss = random.Random(seed)
    names = {layer.name: toss.choice(["fp32", "int8_channel_static"]) for layer in model.inventory.layers}
    samples = take_samples(model, case.calibration)
    ranges = calibrate_ranges(model, model.inventory.layers, samples)
    quantized = quantize(model, {name: scheme_named(scheme) for name, scheme in names.items()}, ranges)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TARGET.artifact
        sites = TARGET.lower(quantized, path, None, lambda _: None)
        realised = {name: found.scheme for name, found in TARGET.realised(path, sites).items()}
        row = {"bytes": path.stat().st_size, "delegates": len(read_program(path).payloads)}
        row |= agreement(TARGET.open(path), TARGET.reference(quantized), case.held_out[:SAMPLES])
    static = sum(scheme != "fp32" for scheme in names.values())
    return row | {
        "static": static, "floats": len(names) - static, "realised": "yes" if realised == names else "no",
        "seconds": time.perf_counter() - started,
    }


def agreement(executable: Any, reference: Any, inputs: Any) -> dict[str, Any]:
    """Relative error over all inputs, and how many outputs are the same to the bit."""
    import torch

    got = [torch.as_tensor(executable.run([value.numpy() for value in given])[0]) for given in inputs]
    wanted = [reference(*given)[0] for given in inputs]
    a, b = torch.cat(got), torch.cat(wanted)
    return {"relative_error": float((a - b).norm() / b.norm()), "same": f"{int((a == b).sum())} of {b.numel()}"}


def page() -> None:
    """Write the page from the results."""
    document = read("mixes")
    note = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    made = intro("benchmarks.mixes", document)
    write_page("mixes", "Random mixes of int8 and float in one .pte", made, note, table(document["rows"], COLUMNS))


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(mix)
    else:
        main()
