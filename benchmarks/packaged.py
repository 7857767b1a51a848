"""One bundle through the public API, judged on inputs that calibration never saw."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, DEVICES
from benchmarks.isolated import sentence, work
from benchmarks.measures import quality


def package(case: str, target: str, max_size: int, min_os: float | None = None) -> dict[str, Any]:
    """Package a case for a target within `max_size` bytes; the row of the bundle, or `error`."""
    import sdk
    from sdk.errors import SdkError

    warnings.filterwarnings("ignore")
    chosen = CASES[case]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle = sdk.package(
                chosen.reference, device=DEVICES[target], target=target, max_size=max_size, min_os=min_os,
                calibration=chosen.calibration, metric=chosen.metric, out=Path(folder) / "bundle",
            )
        except SdkError as error:
            return {"error": sentence(error, 400), "seconds": time.perf_counter() - started}
        row = {"seconds": time.perf_counter() - started, **figures(bundle)}
        row["float_bytes"] = 4 * sum(weight.numel() for weight in chosen.loaded[0].parameters())
        return row | quality(chosen, lambda *inputs: bundle.run(*(value.numpy() for value in inputs)), metric=False)


def figures(bundle: Any) -> dict[str, Any]:
    """Pick the numbers of a bundle's manifest file; the losses are in the unit that the manifest names."""
    manifest = json.loads((Path(bundle.path) / "manifest.json").read_text())
    predicted, measured = manifest["predicted"], manifest["measured"]
    found = {
        "bytes": measured["artifact_bytes"]["value"],
        "predicted_bytes": predicted["artifact_bytes"]["value"],
        "loss_predicted": predicted["loss"]["value"],
        "loss_measured": measured["loss"]["value"],
        "relative_error": measured["relative_error"]["value"],
        "origin": measured["relative_error"]["origin"],
        "static": any("static" in layer["realised"] for layer in manifest["layers"]),
    }
    metric = manifest.get("metric") or {}
    return found | {f"metric_{who}": metric.get(who) for who in ("float", "quantized", "artifact")}


if __name__ == "__main__":
    work(package)
