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
from benchmarks.costs.measured import memory_of

SCALE = {"float": 4, "int": 36}
"""Bytes per channel besides the weights: a bias; for integers also the scale, the sum of the codes and the runtime's own
vectors of scales and zero points (measured on the deep models: 24 more than for floats)."""
SLACK = 0.01
"""Share of private bytes that is added for what an allocator does not give back."""
INDIRECTION = 8
"""Bytes of a pointer: XNNPACK's indirection buffers."""
PAGES = {"executorch": {"page": 4096}}
"""Bytes of a page where each constant of an accelerated part is mapped for itself while it loads (every mapping of a run)."""
RULES: dict[str, dict[str, Any]] = {
    "tflite": {
        "outside": ["embedding", "max_pool2d_padded", "slice_strided", "upsample_nearest2d", "first_masked_attention"],
        "padded": ["max_pool2d_padded", "avg_pool2d_padded", "conv1d", "conv2d"],
        "looped": True,
    },
    "executorch": {
        "outside": [
            "embedding", "layer_norm", "group_norm", "mean", "upsample_nearest2d", "adaptive_avg_pool1d",
            "scaled_dot_product_attention",
        ],
        "narrow": [
            "channels_last", "channels_first", "slice", "hardswish", "relu", "hardtanh", "hardsigmoid", "sigmoid", "tanh", "add",
            "gelu", "leaky_relu", "clamp", "exp", "neg", "abs", "mul", "mean", "mean_of_places", "max_pool2d", "view", "reshape",
            "flatten",
        ],
        "taken": [
            "channels_last", "channels_first", "add", "sub", "mul", "div", "neg", "abs", "ceil", "floor", "exp", "log",
            "sqrt", "rsqrt", "square", "relu", "relu_", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "hardswish",
            "hardsigmoid", "gelu", "sigmoid", "silu", "tanh", "softmax", "_softmax", "leaky_relu", "prelu", "maximum", "minimum",
            "cat", "stack", "pixel_shuffle", "permute", "transpose", "t", "view", "_unsafe_view", "reshape", "flatten",
            "unflatten", "squeeze", "unsqueeze", "expand", "slice", "getitem", "clone", "contiguous", "to", "_to_copy",
            "alias", "detach", "bmm", "matmul", "linear", "conv1d", "conv2d", "mean_of_places", "max_pool2d",
            "max_pool2d_padded", "avg_pool2d",
            "avg_pool2d_padded", "upsample_bilinear2d", "pad", "constant_pad_nd", "batch_norm", "sin", "cos",
        ],
        "simpler": True, "padding": True, "front": False, "growing": True,
    },
}  # fmt: skip
"""Operators that a runtime treats in ways of its own (`sdk.lowering.Operators`), as placements and allocations of models show."""
SCRATCH = {"tflite": {
    "linear": "product", "pointwise": "product", "pointwise1d": "product", "conv2d": "contraction", "conv1d": "contraction",
}}  # fmt: skip
"""What LiteRT's own kernels take while they run; a pointwise convolution is a product there."""
RETURNED = {"tflite": 2, "executorch": 4}
"""Copies of the outputs that the measuring program holds: of the last run and of the one before; ExecuTorch's binding clones
them, and the C library does not give an aligned block's room to the next (measured on one convolution with 4 MB of output)."""
CELL = {"executorch": 22_000}
"""Bytes of each of a recurrent layer's loops besides weights: the products before it and its step, parts of their own (measured
on layers 8 wide, of one to eight loops)."""
DEPTHWISE: dict[str, list[dict[str, Any]]] = {
    "tflite": [
        {"scheme": "fp16", "packed": 4.0, "scale": 4}, {"scheme": "fp32", "packed": 4.0, "scale": 4},
        {"scheme": "int2_channel", "packed": 4.0, "scale": 36, "outside": True},
        {"scheme": "int4_channel", "packed": 4.0, "scale": 36, "outside": True},
        {"scheme": "int8_channel", "packed": 8.0, "scale": 36},
        {"scheme": "int8_channel_dynamic", "packed": 0.0, "outside": True},
        {"scheme": "int8_channel_static", "packed": 1.0, "scale": 36},
    ],
    "executorch": [{"scheme": "fp32", "packed": 4.0, "scale": 4}, {"scheme": "int8_channel_static", "packed": 1.0, "scale": 36}],
}  # fmt: skip
"""Rows of depthwise layers, whose weights are too few to be measured: as XNNPACK packs floats and integers (`packing.cc`)."""
EXACT: dict[str, list[dict[str, Any]]] = {"tflite": [], "executorch": [
    {"scheme": "fp32", "packed": 4.0, "scale": 4, "deep": 1},
    {"scheme": "int8_channel_static", "packed": 1.0, "scale": 8, "deep": 8},
    {"scheme": "int8_channel_dynamic", "packed": 1.0, "scale": 12, "deep": 8},
    {"scheme": "int4_channel_static", "packed": 0.5, "scale": 8, "deep": 16},
    {"scheme": "int4_channel_dynamic", "packed": 0.5, "scale": 12, "deep": 16},
    *({"scheme": f"int4_g{group}_dynamic", "packed": 0.5, "scale": 2, "channel": 8, "deep": 16} for group in (32, 64, 128, 256)),
]}
"""Rows of products, as XNNPACK asked the allocator for them: channels in tiles, and per channel a bias, the sum of the codes and
a scale, or 16-bit scales of groups."""
LARGE: dict[str, dict[str, Any]] = {
    "fp32": {"scheme": "fp32", "packed": 64.0, "scale": 64},
    "int8_channel_static": {"scheme": "int8_channel_static", "packed": 128.0, "scale": 128},
}
"""Rows of `depthwise_large`, as XNNPACK asked the allocator for them on both runtimes (7x7 of 250 and 256 channels, AVX-512 with
VNNI): each channel is a group of its own, which fills 16 channels out, and in 8 bits 8 channels in."""
DENSE = ("linear", "pointwise", "conv2d", "conv1d", "pointwise1d")
"""Kinds of layers that are products."""
UNPACKED = {"fp32": 0.0, "fp16": 2.0}
"""Bytes per weight (1 for integers) that LiteRT unpacks to before it makes floats of them at the first run (`dequantize.h`)."""
PLAIN = (
    "RESHAPE", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "PAD", "CAST", "GATHER", "CONCATENATION",
    "view", "permute", "unsqueeze", "squeeze",
)  # fmt: skip
RUNTIMES = {"tflite": "ai-edge-litert", "executorch": "executorch"}


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(RUNTIMES))
    parser.add_argument("--case", choices=sorted(layers.HEAVY), help="measure this layer alone, for the table that is there")
    parser.add_argument("--shared", action="store_true", help="measure only what all layers share, for the table that is there")
    parser.add_argument("--keep", type=Path, help="folder of the artifacts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fit(given.target, given.keep or Path(folder), given.case, given.shared)


def fit(name: str, folder: Path, only: str | None, alone: bool) -> None:
    """Measure, fit and write `targets/<name>/memory.yaml`; `only` replaces one case's rows in it, `alone` what all share."""
    runtime = target(name)
    path = ROOT / "targets" / name / "memory.yaml"
    if alone:
        path.write_text(_yaml({**yaml.safe_load(path.read_text()), **shared_costs(name, runtime, folder)}))
        return
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
        **shared, **PAGES.get(name, {}), "indirection": INDIRECTION, "slack": SLACK, "returned": RETURNED[name],
        "operators": RULES[name], "error": [-0.1, 0.1], "copies": [],
    }  # fmt: skip
    for case in layers.HEAVY:
        for row in heavy_rows(case, name, runtime, folder, shared):
            print(case, row, file=sys.stderr, flush=True)
            known = {each["scheme"]: each for each in EXACT[name]} if row["kinds"][0] in DENSE else {}
            known = LARGE if row["kinds"] == ["depthwise_large"] else known
            table["copies"].append({"kinds": row["kinds"], **known.get(row["scheme"], row)})
    table["copies"] += [{"kinds": ["depthwise"], **row} for row in DEPTHWISE[name]]
    path.write_text(_yaml(table))


def shared_costs(name: str, runtime: Any, folder: Path) -> dict[str, Any]:
    """Private bytes of every artifact, layer and other operator by least squares over the deep models."""
    import numpy as np
    from scipy.optimize import nnls

    left, right = [], []
    for case in layers.DEEP:
        model, told, _ = measured(case, ["fp32"], name, runtime, folder)
        arena, found = arena_of(model, set(), name)
        packed = sum(4 * layer.parameters + 4 * layer.shape[layer.channel_axis] for layer in model.inventory.layers)
        rest = told.private - packed - arena - INDIRECTION * found.pointers
        plain = found.operators - found.weighted
        print(case, "layers", found.weighted, "others", plain, "rest", rest, file=sys.stderr, flush=True)
        weight = 1 / max(found.operators, 10) ** 0.5
        left.append([weight, weight * found.weighted, weight * plain])
        right.append(weight * rest)
    fixed, layer, operator = nnls(np.array(left), np.array(right))[0]
    freed = is_freed(name, runtime, folder)
    return {"fixed": round(fixed), "layer": round(layer), "operator": round(operator), "freed": freed}


def is_freed(name: str, runtime: Any, folder: Path) -> bool:
    """Return whether the file's pages are given back after loading: fewer are resident at the end than the file has."""
    _, told, path = measured("linear", ["int8_channel_dynamic"], name, runtime, folder)
    return bool(told.last - told.base - told.private < path.stat().st_size)


def heavy_rows(case: str, name: str, runtime: Any, folder: Path, shared: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for every scheme that the layer can hold."""
    from sdk.costs.kernels import kernel_kind
    from sdk.costs.nodes import RECURRENT
    from sdk.costs.scratch import scratch
    from sdk.errors import SdkError
    from sdk.schemes import scheme_named

    rows = []
    model = layers.load(case)
    layer = model.inventory.layers[0]
    for scheme in next(iter(choices(model, runtime).values())):
        try:
            _, told, path = measured(case, [scheme], name, runtime, folder, model)
        except SdkError as error:
            print(case, scheme, error, file=sys.stderr)
            continue
        facts = scheme_named(scheme)
        outside = _is_outside(runtime, path)
        arena, found = arena_of(model, {layer.name} if outside else set(), name, layer.name, facts.activations)
        scale = SCALE["float" if facts.format == "float" else "int"]
        kernel = SCRATCH.get(name, {}).get(kernel_kind(layer), "") if outside else ""
        pointers = 0 if outside else INDIRECTION * found.pointers
        operators = shared["layer"] * found.weighted + shared["operator"] * (found.operators - found.weighted)
        fixed = shared["fixed"] + operators + pointers
        packed = told.private - arena - fixed - scale * layer.shape[layer.channel_axis] - scratch(layer, kernel)
        resident = told.peak - told.private
        passing = 0 if shared["freed"] else resident - path.stat().st_size
        if outside:
            passing = UNPACKED.get(scheme, 1.0) * layer.parameters if packed > layer.parameters else 0
        cell = CELL.get(name, 0) if layer.kind in RECURRENT else 0
        each = max(0.0, _per(packed - cell, layer.parameters))
        row: dict[str, Any] = {"kinds": [kernel_kind(layer)], "scheme": scheme, "packed": each}
        row |= {"scale": scale} if facts.granularity != "group" and row["packed"] else {}
        row |= {"passing": _per(passing, layer.parameters)} if passing > 0.2 * layer.parameters else {}
        row |= {"scratch": kernel} if kernel else {}
        row |= {"outside": True} if outside else {}
        row |= {"cell": cell} if cell else {}
        row |= {"rows": True} if layer.kind == "embedding" and resident < 0.6 * path.stat().st_size else {}
        rows.append(row)
    return rows


def measured(case: str, schemes: list[str], name: str, runtime: Any, folder: Path, model: Any = None) -> tuple[Any, Any, Path]:
    """Return model, memory and file of a case whose layers take the schemes in turn."""
    model = model or layers.load(case)
    taken = {layer.name: schemes[place % len(schemes)] for place, layer in enumerate(model.inventory.layers)}
    path = build(model, runtime, taken, folder / f"{case.replace(' ', '-')}-{name}-{'-'.join(schemes)}")
    return model, memory_of(path, name, model.example), path


def arena_of(model: Any, outside: set[str], name: str, layer: str = "", mode: str = "float") -> tuple[int, Any]:
    """Bytes of the activations, and the activations."""
    from sdk.costs.activations import activations
    from sdk.costs.arenas import arenas
    from sdk.costs.outside import outside_steps
    from sdk.lowering import Operators

    rules = Operators(**{rule: tuple(each) if isinstance(each, list) else each for rule, each in RULES[name].items()})
    found = activations(model, rules=rules)
    modes = [{layer} if mode == each and not outside else set() for each in ("static", "dynamic")]
    room = arenas(found, *modes, outside_steps(found, outside, rules.outside, rules.taken), rules)
    return sum(room) + RETURNED[name] * found.outputs, found


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
