"""Measures what a runtime holds of each layer and operator: `python -m benchmarks.costs.fit_memory tflite` writes its table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cases import ROOT
from benchmarks.costs import layers
from benchmarks.costs.artifacts import build, choices, target
from benchmarks.costs.measured import run

SCALE = {"float": 4, "int": 36}
"""Bytes per channel besides the weights: a bias; for integers also the scale, the sum of the codes and the runtime's own
vectors of scales and zero points (measured on the deep models: 24 more than for floats)."""
SLACK = 0.03
"""Share of private bytes that is added: the first fit was too low by 2 to 3 % more often than it was too high."""
INDIRECTION = 8
"""Bytes of a pointer: XNNPACK's indirection buffers."""
OUTSIDE = {"tflite": ["embedding", "max_pool2d_padded"], "executorch": ["embedding", "layer_norm", "mean"]}
"""Operators that the delegate leaves to the runtime, as `placement` counts them in the validation's models."""
PLAIN = ("RESHAPE", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "PAD", "CAST", "GATHER", "view", "permute", "unsqueeze", "squeeze")
RUNTIMES = {"tflite": "ai-edge-litert", "executorch": "executorch"}


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(RUNTIMES))
    parser.add_argument("--case", choices=sorted(layers.HEAVY), help="measure this layer alone, for the table that is there")
    parser.add_argument("--keep", type=Path, help="folder of the artifacts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fit(given.target, given.keep or Path(folder), given.case)


def fit(name: str, folder: Path, only: str | None) -> None:
    """Measure, fit and write `targets/<name>/memory.yaml`; `only` replaces one case's rows in it."""
    runtime = target(name)
    path = ROOT / "targets" / name / "memory.yaml"
    if only is not None:
        table = yaml.safe_load(path.read_text())
        rows = heavy_rows(only, name, runtime, folder, table)
        kinds = [row["kinds"] for row in rows]
        table["copies"] = [row for row in table["copies"] if row["kinds"] not in kinds] + rows
        path.write_text(_yaml(table))
        return
    shared = shared_costs(name, runtime, folder)
    table = {
        "origin": f"measured by `python -m benchmarks.costs.fit_memory {name}` on Linux x86_64 with "
        f"{RUNTIMES[name]} {version(RUNTIMES[name])}; error: docs/benchmarks/memory.md",
        **shared, "indirection": INDIRECTION, "slack": SLACK, "outside": OUTSIDE[name], "error": [-0.1, 0.1], "copies": [],
    }  # fmt: skip
    for case in layers.HEAVY:
        for row in heavy_rows(case, name, runtime, folder, shared):
            print(case, row, file=sys.stderr, flush=True)
            table["copies"].append(row)
    path.write_text(_yaml(table))


def shared_costs(name: str, runtime: Any, folder: Path) -> dict[str, Any]:
    """Private bytes of every artifact and operator by least squares over the deep models, and the code's pages."""
    import numpy as np
    from scipy.optimize import nnls

    left, right, code = [], [], []
    for case in layers.DEEP:
        model, told, path = measured(case, "fp32", name, runtime, folder)
        arena, found = arena_of(model, set(), OUTSIDE[name])
        packed = sum(4 * layer.parameters + 4 * layer.shape[layer.channel_axis] for layer in model.inventory.layers)
        rest = told.private_bytes - packed - arena - INDIRECTION * found.pointers
        print(case, "operators", found.operators, "rest", rest, file=sys.stderr, flush=True)
        weight = 1 / max(found.operators, 10) ** 0.5
        left.append([weight, weight * found.operators])
        right.append(weight * rest)
        code.append(told.peak_bytes - told.private_bytes - path.stat().st_size)
    fixed, operator = nnls(np.array(left), np.array(right))[0]
    model, told, path = measured("linear", "fp32", name, runtime, folder)
    after = told.resident[-1] - told.base_bytes - told.private_bytes
    return {
        "code": round(float(np.median(code))), "fixed": round(fixed), "operator": round(operator),
        "freed": bool(after < path.stat().st_size / 2 + float(np.median(code))),
    }  # fmt: skip


def heavy_rows(case: str, name: str, runtime: Any, folder: Path, shared: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for every scheme that the layer can hold."""
    from sdk.costs.memory import kernel_kind
    from sdk.errors import SdkError
    from sdk.schemes import scheme_named

    rows = []
    model = layers.load(case)
    layer = model.inventory.layers[0]
    for scheme in next(iter(choices(model, runtime).values())):
        try:
            _, told, path = measured(case, scheme, name, runtime, folder, model)
        except SdkError as error:
            print(case, scheme, error, file=sys.stderr)
            continue
        facts = scheme_named(scheme)
        outside = _is_outside(runtime, path)
        arena, found = arena_of(model, {layer.name} if outside else set(), OUTSIDE[name], layer.name, facts.activations)
        scale = SCALE["float" if facts.format == "float" else "int"]
        fixed = shared["fixed"] + shared["operator"] * found.operators + INDIRECTION * found.pointers
        packed = told.private_bytes - arena - fixed - scale * layer.shape[layer.channel_axis]
        resident = told.peak_bytes - told.private_bytes - shared["code"]
        passing = resident - path.stat().st_size
        row: dict[str, Any] = {"kinds": [kernel_kind(layer)], "scheme": scheme, "packed": _per(packed, layer.parameters)}
        row |= {"scale": scale} if facts.granularity != "group" and row["packed"] else {}
        row |= {"passing": _per(passing, layer.parameters)} if passing > 0.2 * layer.parameters and not shared["freed"] else {}
        row |= {"outside": True} if outside else {}
        row |= {"rows": True} if layer.kind == "embedding" and resident < 0.6 * path.stat().st_size else {}
        rows.append(row)
    return rows


def measured(case: str, scheme: str, name: str, runtime: Any, folder: Path, model: Any = None) -> tuple[Any, Any, Path]:
    """Return model, transcript and file of a case with all layers in one scheme."""
    model = model or layers.load(case)
    schemes = {layer.name: scheme for layer in model.inventory.layers}
    path = build(model, runtime, schemes, folder / f"{case.replace(' ', '-')}-{name}-{scheme}")
    return model, run(path, name, model.example)[0], path


def arena_of(model: Any, outside: set[str], kinds: list[str], layer: str = "", mode: str = "float") -> tuple[int, Any]:
    """Bytes of the activations, and the activations."""
    from sdk.costs.activations import activations, outside_steps
    from sdk.costs.memory import RETURNED

    found = activations(model)
    modes = [{layer} if mode == each and not outside else set() for each in ("static", "dynamic")]
    live = found.live(*modes, outside_steps(found, outside, kinds))
    return sum(max(each) for each in live) + RETURNED * found.outputs, found


def _is_outside(runtime: Any, path: Path) -> bool:
    return any(not any(plain in name for plain in PLAIN) for name in runtime.placement(path).outside)


def _per(size: float, parameters: int) -> float:
    """Bytes per weight in steps of 1/100; what is below the noise of a page per layer is none."""
    return max(0.0, round(size / parameters, 2)) if size > 100_000 else 0.0


def _yaml(table: dict[str, Any]) -> str:
    rows = table.pop("copies")
    head = yaml.safe_dump(table, sort_keys=False, width=130)
    lines = (yaml.safe_dump(row, default_flow_style=True, width=200, sort_keys=False) for row in rows)
    return head + "copies:\n" + "".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    main()
