"""ExecuTorch as shipped: `executorch.export` with its XNNPACK recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import Case

RECIPES = (
    "FP32",
    "PT2E_INT8_STATIC_PER_CHANNEL",
    "PT2E_INT8_STATIC_PER_TENSOR",
    "PT2E_INT8_DYNAMIC_PER_CHANNEL",
    "TORCHAO_INT8_DYNAMIC_ACT_INT4_WEIGHT_PER_CHANNEL",
    "TORCHAO_INT8_DYNAMIC_ACT_INT4_WEIGHT_PER_TENSOR",
)


def build(case: Case, recipe: str, folder: Path) -> Path:
    """Write the recipe's `.pte` and return its path."""
    from executorch.backends.xnnpack.recipes import XNNPackRecipeType
    from executorch.export import ExportRecipe, export

    module, _ = case.loaded
    stock = ExportRecipe.get_recipe(XNNPackRecipeType[recipe])
    session = export(model=module, example_inputs=case.calibration, export_recipe=stock)
    path = folder / f"{case.name}.{recipe}.pte"
    session.save_to_pte(str(path))
    return path


def open_artifact(path: Path) -> Callable[..., Any]:
    """Return the file as a callable on torch tensors."""
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(str(path))
    method = program.load_method("forward")

    def run(*inputs: Any) -> Any:
        return method.execute(list(inputs))[0].clone()

    run.program = program  # type: ignore[attr-defined]  # the method reads the program's memory
    return run
