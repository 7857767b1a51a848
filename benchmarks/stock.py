"""Latency beside the toolchains' stock recipes: `python -m benchmarks.stock --keep FOLDER`.

The same model as ExecuTorch's and LiteRT's own recipes store it and as the SDK does in the same uniform scheme; all files take
turns in several rounds, on two threads. Ratios below 1 are files that run faster than the stock one. `off` is the relative
error of the first output against the float model on the one input that both calibrate with: whether both sides of a row compute
the model (the random weights of MobileNet v2 make 1e-22 of it, which is nothing in 8 bits on either side; they are there for
the shapes).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.costs.artifacts import build, plan, priced, target
from benchmarks.costs.models import MODELS
from benchmarks.isolated import sentence
from benchmarks.results_file import intro, read, save, table, write_page

NAME = "stock"
RIVALS = {"executorch": "executorch", "tflite": "litert"}
RECIPES = {
    "executorch": {"float": "FP32", "int8": "PT2E_INT8_STATIC_PER_CHANNEL", "dynamic": "PT2E_INT8_DYNAMIC_PER_CHANNEL"},
    "tflite": {"float": "float", "int8": "static_wi8_ai8", "dynamic": "dynamic_wi8_afp32"},
}
"""Runtime → uniform plan of `benchmarks.costs.artifacts` → the stock recipe of the same scheme."""
CONVOLUTIONAL = ("efficientnet-lite0", "mobilenet-v2", "resnet18", "lcnet", "unet")
TRANSFORMERS = ("minilm", "bert", "vit")
ROUNDS, SECONDS = 7, 0.4
COLUMNS = {
    "target": "target", "model": "model", "recipe": "stock recipe", "stock_bytes": "MB, stock", "bytes": "MB",
    "stock_off": "off, stock", "off": "off", "stock_ms": "ms, stock", "ms": "ms", "ratio": "ratio", "noise": "noise",
    "error": "failure",
}  # fmt: skip


@dataclass
class Given:
    """What a rival is given: module and example, which it calibrates with too."""

    name: str
    loaded: tuple[Any, tuple[Any, ...]]

    @property
    def calibration(self) -> list[tuple[Any, ...]]:
        return [self.loaded[1]]


def main() -> None:
    """Build what is not there, time all, write the page."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="folder of the artifacts")
    parser.add_argument("--model", action="append", choices=(*CONVOLUTIONAL, *TRANSFORMERS))
    parser.add_argument("--stage", action="append", choices=("build", "measure"), help="by default both")
    given = parser.parse_args()
    stages = given.stage or ("build", "measure")
    if "build" in stages:
        rows = [row for name in given.model or (*CONVOLUTIONAL, *TRANSFORMERS) for row in built(name, given.keep)]
        (given.keep / "stock.json").write_text(json.dumps(rows, indent=1))
    if "measure" in stages:
        rows = json.loads((given.keep / "stock.json").read_text())
        for runtime in RECIPES:
            timed([row for row in rows if row["target"] == runtime and "error" not in row])
        save(NAME, [{key: value for key, value in row.items() if key not in ("files", "inputs")} for row in rows])
        page()


def built(name: str, keep: Path) -> list[dict[str, Any]]:
    """The files of one model: a row for each recipe."""
    from sdk.models.load import load_model

    network, rows = _network(name), list[dict[str, Any]]()
    model = load_model(*network, name=name)
    shown = [f"{str(v.dtype).removeprefix('torch.')}:{'x'.join(map(str, v.shape))}" for v in model.example]
    for runtime, recipes in RECIPES.items():
        chosen, rival = target(runtime), importlib.import_module(f"benchmarks.rivals.{RIVALS[runtime]}")
        choices = {layer: sorted(schemes) for layer, schemes in priced(model, chosen).layers.items()}
        for scheme, recipe in recipes.items():
            if scheme == ("dynamic" if name in CONVOLUTIONAL else "int8"):
                continue
            row: dict[str, Any] = {"target": runtime, "model": name, "recipe": recipe, "inputs": shown}
            print(runtime, name, recipe, file=sys.stderr, flush=True)
            ours = build(model, chosen, plan(choices, scheme), keep / f"{name}-{runtime}-{scheme}")
            row |= {"bytes": ours.stat().st_size, "off": _off(_run(chosen, ours), model)}
            try:
                theirs = keep / f"{name}.{recipe}.{ours.suffix.removeprefix('.')}"
                if not theirs.exists():
                    rival.build(Given(name, _network(name)), recipe, keep)
                row |= {"stock_bytes": theirs.stat().st_size, "stock_off": _off(rival.open_artifact(theirs), model)}
                row["files"] = [str(theirs), str(ours)]
            except Exception as error:
                row["error"] = sentence(error)
            rows.append(row)
            gc.collect()
    return rows


def _network(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The network as its author hands it to a toolchain, and an input: a real one where the weights are."""
    import torch

    torch.manual_seed(0)
    found = MODELS[name]
    module, inputs = (found.loaded[0], found.calibration[0]) if hasattr(found, "loaded") else found()
    return module.eval(), inputs


def _run(chosen: Any, path: Path) -> Callable[..., Any]:
    """The SDK's own file as a callable on torch tensors, which returns the first output."""
    opened = chosen.open(path)
    return lambda *inputs: opened.run([each.numpy() for each in inputs])[0]


def _off(run: Callable[..., Any], model: Any) -> float:
    """Relative error of the first output."""
    import torch

    with torch.no_grad():
        want = model.module()(*model.example)[0]
    got = torch.as_tensor(run(*model.example)).reshape(want.shape)
    return float((got - want).norm() / want.norm())


def timed(rows: list[dict[str, Any]]) -> None:
    """Add the milliseconds of both files and their ratio; noise: how far the ratios of single rounds lie apart (quartiles)."""
    from sdk.check.runners.local import LocalRunner
    from sdk.check.runners.runner import Job
    from sdk.check.runners.timer import Batch

    files = [Path(file) for row in rows for file in row["files"]]
    inputs = [tuple(row["inputs"]) for row in rows for _ in row["files"]]
    with LocalRunner().open("", Job(files[0], rows[0]["target"], ()), 3600) as session:
        told = session.time(Batch(tuple(files), tuple(inputs), ROUNDS, 10, SECONDS, 3000)).each
    for row, stock, ours in zip(rows, told[::2], told[1::2], strict=True):
        ratios = [b / a for a, b in zip(stock.medians, ours.medians, strict=True)]
        quartiles = statistics.quantiles(ratios, n=4)
        row |= {
            "stock_ms": statistics.median(stock.medians) / 1e6, "ms": statistics.median(ours.medians) / 1e6,
            "ratio": statistics.median(ratios), "noise": quartiles[2] - quartiles[0],
        }  # fmt: skip


def page() -> None:
    """Write docs/benchmarks/stock.md."""
    document = read(NAME)
    note = " ".join((__doc__ or "").split("\n\n", 1)[1].split())
    write_page(
        NAME, "Latency beside stock recipes", intro("benchmarks.stock", document), note, table(document["rows"], COLUMNS)
    )  # fmt: skip


if __name__ == "__main__":
    main()
