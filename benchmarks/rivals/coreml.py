"""coremltools as shipped: convert for iOS 18, then a weight compression of `coremltools.optimize`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import Case

LINEAR = {
    "linear_int8": {"mode": "linear_symmetric", "dtype": "int8"},
    "linear_int4_block32": {
        "mode": "linear_symmetric", "dtype": "int4", "granularity": "per_block", "block_size": 32,
    },
}
PALETTES = {
    "palettize_8": {"mode": "kmeans", "nbits": 8},
    "palettize_6": {"mode": "kmeans", "nbits": 6},
    "palettize_4": {"mode": "kmeans", "nbits": 4},
    "palettize_4_group16": {
        "mode": "kmeans", "nbits": 4, "granularity": "per_grouped_channel", "group_size": 16,
    },
}
RECIPES = ("float16", *LINEAR, *PALETTES)


def build(case: Case, recipe: str, folder: Path) -> Path:
    """Write the recipe's `.mlpackage` and return its path."""
    import coremltools as ct
    import coremltools.optimize.coreml as cto
    import torch

    module, example = case.loaded
    program = torch.export.export(module, example).run_decompositions({})
    model = ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True)
    if recipe in LINEAR:
        config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(**LINEAR[recipe]))
        model = cto.linear_quantize_weights(model, config)
    if recipe in PALETTES:
        config = cto.OptimizationConfig(cto.OpPalettizerConfig(**PALETTES[recipe]))
        model = cto.palettize_weights(model, config)
    path = folder / f"{case.name}.{recipe}.mlpackage"
    model.save(str(path))
    return path


def open_artifact(path: Path) -> Callable[..., Any]:
    """Return the package, through this project's reference evaluator, as a callable on torch tensors.

    coremltools cannot execute a package on Linux: without the evaluator its quality is unknown.
    """
    from targets.coreml import TARGET

    executable = TARGET.open(path)

    def run(*inputs: Any) -> Any:
        return executable.run([value.numpy() for value in inputs])[0]

    return run
