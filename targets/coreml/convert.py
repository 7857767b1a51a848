"""Converts a model once per deployment target into a float ML program, in memory, and finds the layers in it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import LoweringError, SdkError
from sdk.models import Model
from targets.coreml.blobs import BlobReader
from targets.coreml.layout import Placement
from targets.coreml.matching import find_layers
from targets.coreml.prepare import prepare
from targets.coreml.program import dtype_name, main_block, tidy, value_shape, walk
from targets.coreml.toolkit import coremltools, quiet

WEIGHT_CHANGING = ("common::fuse_conv_scale", "common::fuse_conv_batchnorm", "common::const_deduplication",
                   "common::fuse_dilated_conv")
"""coremltools passes that scale or merge weights, and so would break the layers' exact grids."""

@dataclass(frozen=True, slots=True)
class FloatProgram:
    """A converted model: the specification, its blobs by the name of their constant, and where each layer is.

    `spec` is a Core ML `Model` message whose blob offsets are stale; `blobs` hold (dtype, array). `placements`:
    layer name → per weight of the layer, the constants that hold it (empty when the converter merged it). `shapes`:
    of every planned weight; `operations`: the `const` of every blob.
    """

    spec: Any
    blobs: dict[str, tuple[str, Any]]
    placements: dict[str, tuple[tuple[Placement, ...], ...]]
    shapes: dict[str, tuple[int, ...]]
    operations: dict[str, Any]
    ios: int


def convert(model: Model, ios: int) -> FloatProgram:
    """Convert `model` for iOS `ios` (16, 17 or 18) with float16 weights; LoweringError when coremltools refuses it."""
    ct = coremltools()
    try:
        prepared = prepare(model)
        with quiet(), tempfile.TemporaryDirectory(prefix="snugfit-coreml-") as folder:
            package = _run(ct, prepared.program, model, ios, folder)
            spec = package.get_spec()
            blobs = _read_blobs(spec, Path(package.weights_dir) / "weight.bin")
    except SdkError:
        raise
    except Exception as error:
        raise LoweringError(f"coreml: coremltools cannot convert {model.name!r}: {_first_line(error)}") from error
    placements = find_layers(model, prepared, spec, blobs)
    tidy(spec, blobs, model)
    module = model.program.module(check_guards=False)
    shapes = {w: tuple(module.get_parameter(w).shape) for layer in model.inventory.layers for w in layer.weights}
    operations = {op.outputs[0].name: op for op in walk(main_block(spec)) if op.type == "const"}
    return FloatProgram(spec, blobs, placements, shapes, operations, ios)


def _read_blobs(spec: Any, file: Path) -> dict[str, tuple[str, Any]]:
    """Return (dtype, array) of every constant in the weights file, by name."""
    held = [op for op in walk(main_block(spec)) if op.type == "const" and op.attributes["val"].HasField("blobFileValue")]
    if not held:
        return {}
    reader = BlobReader(file)
    values = [(op.outputs[0].name, op.attributes["val"]) for op in held]
    return {
        name: (dtype_name(v), reader.read(v.blobFileValue.offset, dtype_name(v), value_shape(v))) for name, v in values
    }


def _run(ct: Any, program: Any, model: Model, ios: int, folder: str) -> Any:
    import numpy as np

    pipeline = ct.PassPipeline.DEFAULT
    pipeline.remove_passes(WEIGHT_CHANGING)
    floats = {"float32", "float16", "bfloat16", "float64"}
    outputs = [ct.TensorType(dtype=np.float32 if spec.dtype in floats else np.int32) for spec in model.outputs]
    return ct.convert(
        program, convert_to="mlprogram", minimum_deployment_target=getattr(ct.target, f"iOS{ios}"), outputs=outputs,
        compute_precision=ct.precision.FLOAT16, skip_model_load=True, pass_pipeline=pipeline,
        package_dir=str(Path(folder) / "model.mlpackage"),
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
