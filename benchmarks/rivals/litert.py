"""LiteRT as shipped: litert-torch converts, a stock recipe of AI Edge Quantizer quantizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import Case

RECIPES = (
    "float",
    "weight_only_wi8_afp32",
    "dynamic_wi8_afp32",
    "dynamic_wi8b32_afp32",
    "dynamic_wi4_afp32",
    "dynamic_wi4b32_afp32",
    "dynamic_wi4b64_afp32",
    "dynamic_wi4c_hr_afp32",
    "weight_only_wi4_afp32",
    "static_wi8_ai8",
)


def build(case: Case, recipe: str, folder: Path) -> Path:
    """Write the recipe's `.tflite` and return its path; the float conversion is kept for the next recipe."""
    floating = folder / f"{case.name}.float.tflite"
    if not floating.exists():
        _convert(case, floating)
    if recipe == "float":
        return floating
    return _quantize(case, recipe, floating, folder / f"{case.name}.{recipe}.tflite")


def _convert(case: Case, path: Path) -> None:
    import litert_torch

    module, example = case.loaded
    litert_torch.convert(module, example).export(str(path))


def _quantize(case: Case, recipe: str, floating: Path, path: Path) -> Path:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    work = quantizer.Quantizer(str(floating))
    work.load_quantization_recipe(getattr(recipes, recipe)())
    statistics = None
    if work.need_calibration:
        statistics = work.calibrate({"serving_default": _samples(case, floating)})
    work.quantize(statistics).export_model(str(path), overwrite=True)
    return path


def _samples(case: Case, floating: Path) -> list[dict[str, Any]]:
    details = _interpreter(floating).get_signature_runner("serving_default").get_input_details()
    names = sorted(details, key=lambda name: int(name.rsplit("_", 1)[-1]))
    return [
        {name: value.numpy().astype(details[name]["dtype"]) for name, value in zip(names, row, strict=True)}
        for row in case.calibration
    ]


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=1)


def open_artifact(path: Path) -> Callable[..., Any]:
    """Return the file as a callable on torch tensors; integer edges are quantized and dequantized."""
    interpreter = _interpreter(path)
    interpreter.allocate_tensors()
    details = sorted(interpreter.get_input_details(), key=lambda item: item["name"])
    (output,) = interpreter.get_output_details()

    def run(*inputs: Any) -> Any:
        for item, value in zip(details, inputs, strict=True):
            interpreter.set_tensor(item["index"], _encode(value.numpy(), item))
        interpreter.invoke()
        return _decode(interpreter.get_tensor(output["index"]), output)

    return run


def _encode(value: Any, item: Any) -> Any:
    import numpy as np

    scale, zero = item["quantization"]
    if scale:
        limits = np.iinfo(item["dtype"])
        value = np.clip(np.round(value / scale) + zero, limits.min, limits.max)
    return value.astype(item["dtype"])


def _decode(value: Any, item: Any) -> Any:
    scale, zero = item["quantization"]
    return (value.astype("float32") - zero) * scale if scale else value.copy()
