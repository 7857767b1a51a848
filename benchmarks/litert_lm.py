"""LiteRT as shipped, as a rival for language models: its own exporter, its stock recipes, executed as LiteRT-LM does."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from benchmarks.checkpoint import as_directory

EXPORTERS = "dynamic_wi8_emb4_afp32"
"""The exporter's own recipe: 8 bits, an embedding of 4."""

RECIPES = (
    "dynamic_wi8_afp32", "dynamic_wi8b32_afp32", "dynamic_wi4_afp32", "dynamic_wi4c_hr_afp32", "dynamic_wi4b32_afp32",
    "dynamic_wi4b64_afp32", EXPORTERS, "weight_only_wi8_afp32", "weight_only_wi4_afp32",
)  # fmt: skip
"""What is compared: AI Edge Quantizer's recipes, and the exporter's."""

MIXED = "dynamic_wi4b32_afp32 with embedding and head in 8 bits"
"""No stock recipe: what a user who knows that embeddings are delicate writes with the quantizer's own parts."""

PREFILL = 128


def build(model: Path, recipe: str, folder: Path, context: int) -> Path:
    """Return the `.litertlm` of `model` by a recipe, made where `folder` does not hold it."""
    from sdk.models.load import load_model
    from targets.tflite.container import pack

    made = folder / f"{model.stem}-{'-'.join(recipe.split())}.litertlm"
    if not made.exists():
        floating = _exported(model, folder, context)
        with TemporaryDirectory(dir=folder) as temporary:
            path = _quantized(floating, recipe, Path(temporary) / "model.tflite")
            language = load_model(str(model), context=context).language
            assert language is not None
            made.write_bytes(pack(path.read_bytes(), language))
    return made


def read(path: Path, held: list[Any]) -> list[Any]:
    """Logits [1, n, vocabulary] (float32) of every window of tokens [1, n]."""
    from targets.tflite.tokens import open_tokens

    opened = open_tokens(path)
    return [opened.run([tokens.numpy()])[0] for tokens in held]


def speed(path: Path, ids: list[int], count: int) -> float:
    """Tokens per second of writing `count` tokens behind `ids`, the most likely one each time."""
    import time

    from sdk.generate import decode, prefill
    from targets.tflite.tokens import open_tokens

    opened = open_tokens(path)
    tokens = decode(opened, prefill(opened, ids, PREFILL - 1), len(ids), len(ids) + count)
    next(tokens)
    began = time.perf_counter()
    for _ in tokens:
        pass
    return count / (time.perf_counter() - began)


def _exported(model: Path, folder: Path, context: int) -> Path:
    """The float `.tflite` with a prefill and a decode, as litert-torch exports a Hugging Face directory."""
    made = folder / f"{model.stem}-float.tflite"
    if not made.exists():
        _schema()
        export = importlib.import_module("litert_torch.generative.export_hf.export").export
        with TemporaryDirectory(dir=folder) as temporary:
            export(
                model=str(as_directory(model, Path(temporary) / "checkpoint")), output_dir=temporary, prefill_lengths=[PREFILL],
                cache_length=context, quantization_recipe="none", bundle_litert_lm=False, keep_temporary_files=True,
            )  # fmt: skip
            (Path(temporary) / "model.tflite").rename(made)
    return made


def _schema() -> None:
    """The exporter imports TensorFlow for nothing but LiteRT's schema, which ai-edge-litert has too."""
    names = ("tensorflow", "tensorflow.lite", "tensorflow.lite.python")
    for name in names:
        module = sys.modules.setdefault(name, ModuleType(name))
        module.__spec__ = ModuleSpec(name, None)
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    vars(sys.modules[names[-1]])["schema_py_generated"] = schema
    sys.modules[f"{names[-1]}.schema_py_generated"] = schema


def _quantized(floating: Path, recipe: str, path: Path) -> Path:
    from ai_edge_quantizer import quantizer

    work = quantizer.Quantizer(str(floating))
    work.load_quantization_recipe(_recipe(recipe))
    work.quantize(None).export_model(str(path), overwrite=True)
    return path


def _recipe(name: str) -> Any:
    from ai_edge_quantizer import recipe as recipes

    lookup, linear = recipes.TFLOperationName.EMBEDDING_LOOKUP, recipes.TFLOperationName.FULLY_CONNECTED
    if name == EXPORTERS:
        return recipes.dynamic_wi4c_afp32(operation_name=lookup) + recipes.dynamic_wi8c_afp32(operation_name=linear)
    if name == MIXED:
        return (
            recipes.dynamic_wi4b32_afp32(operation_name=linear) + recipes.dynamic_wi8c_afp32(operation_name=lookup)
            + recipes.dynamic_wi8c_afp32(regex=".*logits.*", operation_name=linear)
        )  # fmt: skip
    return getattr(recipes, name)()
