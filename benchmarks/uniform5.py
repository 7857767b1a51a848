"""Planned Core ML packages against uniform widths of the same bytes: `python -m benchmarks.uniform5`.

Core ML stores no 5-bit integers and no 5-bit palettes, so the uniform models are evaluated in torch, with the
same rounding (importance-weighted scales and k-means tables) and at the bytes that their codes, scales and
tables would have in the package. The planned ones are real packages, executed by the MIL evaluator.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.isolated import measure, work
from benchmarks.measures import distances
from benchmarks.packaged import figures
from benchmarks.results_file import intro, read, save, table, write_page

DEVICE = "iphone15pro"
WIDTHS = (4, 5, 6)
READINGS = {"integers": "int8_channel", "palettes": "lut4"}
"""What a uniform width can mean, and the scheme whose bytes it differs from by its codes and tables alone."""
COLUMNS = {
    "bits": "uniform bits", "reading": "as", "max_bytes": "MB of uniform", "bytes": "MB of the plan",
    "uniform_kl": "KL, uniform", "kl": "KL, planned", "times": "times less",
    "agreement": "top-1 as float, planned", "uniform_agreement": "top-1 as float, uniform",
    "error": "failure",
}  # fmt: skip


def main() -> None:
    """Measure every width in both readings and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, action="append", choices=WIDTHS, help="only this width (repeats)")
    parser.add_argument("--case", default="photo-classifier", choices=CASES)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that one row may take")
    options = parser.parse_args()
    rows = {(row["bits"], row["reading"]): row for row in read("uniform5")["rows"]}
    with tempfile.TemporaryDirectory() as cache:
        for bits in options.bits or WIDTHS:
            for reading in READINGS:
                job = {"case": options.case, "bits": bits, "reading": reading}
                rows[bits, reading] = measure("benchmarks.uniform5", job, options.timeout, Path(cache))
                print(json.dumps(rows[bits, reading]), flush=True)
                save("uniform5", [rows[key] for key in sorted(rows)])
    page()


def compare(case: str, bits: int, reading: str) -> dict[str, Any]:
    """Return bytes and distances of the uniform model, and of the package planned within the same bytes."""
    import sdk

    warnings.filterwarnings("ignore")
    chosen = CASES[case]
    size, outputs = uniform(chosen, bits, reading)
    flat = distances(chosen.loss, chosen.float_outputs, outputs)
    with tempfile.TemporaryDirectory() as folder:
        bundle = sdk.package(
            chosen.reference, device=DEVICE, target="coreml", max_size=size, calibration=chosen.calibration,
            out=Path(folder) / "bundle",
        )
        planned = chosen.outputs(lambda *inputs: bundle.run(*(value.numpy() for value in inputs)))
        found = figures(bundle)
    row = {"max_bytes": size, **found, **distances(chosen.loss, chosen.float_outputs, planned)}
    return row | {f"uniform_{key}": value for key, value in flat.items()}


def uniform(case: Case, bits: int, reading: str) -> tuple[int, Any]:
    """Round every layer to `bits`; return the bytes of its package and the outputs on unseen inputs."""
    from sdk.lowering.discovery import find_target
    from sdk.pipeline import Request, Workbench
    from sdk.progress import SilentReporter
    from sdk.quantize import quantize, reference
    from sdk.schemes import scheme_named

    request = Request(model=case.reference, device=DEVICE, calibration=case.calibration, loss=case.loss)
    bench = Workbench(request, SilentReporter())
    layers = bench.model.inventory.layers
    near = scheme_named(READINGS[reading])
    prices = find_target("coreml").price(bench.model, {layer.name: (near,) for layer in layers}, 18.0)
    size = prices.base + sum(
        prices.layers[layer.name][near.name] + _extra(layer, bits, reading, near.bits) for layer in layers
    )
    scheme = _scheme(bits, reading)
    call = reference(quantize(bench.model, {layer.name: scheme for layer in layers}, statistics=bench.statistics))
    return size, case.outputs(call)


def _scheme(bits: int, reading: str) -> Any:
    """A scheme of the width; 5 and 6-bit integers search their scales among the ratios of 4 bits."""
    from sdk.rounding import round as rounding
    from sdk.schemes import Scheme

    rounding.SEARCH.setdefault(bits, rounding.SEARCH[4])
    if reading == "integers":
        return Scheme(f"int{bits}_channel", bits, "int", "channel")
    return Scheme(f"lut{bits}", bits, "lut", "tensor")


def _extra(layer: Any, bits: int, reading: str, near: int) -> int:
    """Bytes that codes (and a table of float16) of `bits` take above those of the near scheme."""
    tables = (2**bits - 2**near) * 2 if reading == "palettes" else 0
    weights = 1
    for length in layer.shape:
        weights *= length
    return -(-weights * (bits - near) // 8) + tables


def page() -> None:
    """Write the page from the results."""
    document = read("uniform5")
    rows = [
        row | {"times": f"{row['uniform_kl'] / row['kl']:.1f}"} if "kl" in row else row
        for row in document["rows"]
    ]
    made = intro("benchmarks.uniform5", document)
    note = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    title = "Planned against uniform widths at the same bytes, Core ML"
    write_page("uniform5", title, made, note, table(rows, COLUMNS))


if __name__ == "__main__":
    import sys

    if len(sys.argv) == 3 and sys.argv[1].startswith("{"):
        work(compare)
    else:
        main()
