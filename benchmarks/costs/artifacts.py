"""Artifacts of one model in many plans: uniform ones, and mixes drawn by a seed from what target and shapes allow."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from typing import Any

UNIFORM = {
    "float": ("fp32",), "half": ("fp16",), "int8": ("int8_channel_static", "int8_channel_dynamic", "int8_channel"),
    "dynamic": ("int8_channel_dynamic", "int8_channel_static", "int8_channel"),
    "int4": ("int4_g32_dynamic", "int4_channel_dynamic", "int4_channel_static", "int4_channel", "int8_channel_static"),
    "weights": ("int8_channel", "int8_channel_dynamic"),
}  # fmt: skip
"""Plan → schemes by preference; what a layer cannot take goes to the next, in the end to fp32."""


def target(name: str) -> Any:
    return importlib.import_module(f"targets.{name}").TARGET


def choices(model: Any, runtime: Any) -> dict[str, list[str]]:
    """Layer → names of the schemes that the target can hold it in."""
    return {name: sorted(scheme.name for scheme in found) for name, found in _allowed(model, runtime).items()}


def priced(model: Any, runtime: Any) -> Any:
    """The target's prices of every scheme that it can hold a layer in."""
    from sdk.pipeline.kept import prices

    return prices(runtime, model, _allowed(model, runtime), None)


def _allowed(model: Any, runtime: Any) -> dict[str, Any]:
    from sdk.planning import allowed
    from sdk.schemes import all_schemes

    rows = runtime.capabilities()
    return {
        layer.name: allowed(layer, rows, None, all_schemes().values(), None, (runtime.fallback,))[0]
        for layer in model.inventory.layers
    }


def plan(found: dict[str, list[str]], name: str) -> dict[str, str]:
    """Layer → scheme of the plan called `name`: a key of UNIFORM, or `mixN` for seed N."""
    if name in UNIFORM:
        return {layer: next((s for s in UNIFORM[name] if s in schemes), "fp32") for layer, schemes in found.items()}
    toss = random.Random(name)
    return {layer: toss.choice(schemes) for layer, schemes in sorted(found.items())}


def build(model: Any, runtime: Any, schemes: dict[str, str], folder: Path) -> Path:
    """Lower and return the file; it stays in `folder` and is not made again for the same schemes."""
    from sdk.models.samples import take_samples
    from sdk.quantize import quantize
    from sdk.schemes import scheme_named
    from sdk.sensitivity.ranges import calibrate_ranges

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / runtime.artifact
    kept = folder / "schemes.json"
    if kept.exists() and json.loads(kept.read_text()) == schemes:
        return path
    (folder / "memory.json").unlink(missing_ok=True)
    layers = [layer for layer in model.inventory.layers if layer.kind not in ("embedding", "lstm", "gru")]
    ranges = calibrate_ranges(model, layers, take_samples(model, [model.example], 1))
    quantized = quantize(model, {name: scheme_named(s) for name, s in schemes.items()}, ranges)
    runtime.lower(quantized, path, None, lambda _: None)
    kept.write_text(json.dumps(schemes, indent=1))
    return path
