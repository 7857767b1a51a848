"""Converts a model once per deployment target into a float ML program, in memory, and finds the layers in it."""

from __future__ import annotations

import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import BadInput, LoweringError, SdkError
from sdk.models import Model
from sdk.models.language import Language
from targets.coreml.blobs import BlobReader
from targets.coreml.decoding import MASK, TOKENS
from targets.coreml.layout import Placement
from targets.coreml.matching import find_layers
from targets.coreml.precision import Halving
from targets.coreml.prepare import prepare
from targets.coreml.program import dtype_name, main_block, tidy, value_shape, walk
from targets.coreml.sharing import share_tied
from targets.coreml.standins import give_back
from targets.coreml.toolkit import coremltools, quiet

WEIGHT_CHANGING = ("common::fuse_conv_scale", "common::fuse_conv_batchnorm", "common::const_deduplication",
                   "common::fuse_dilated_conv")
"""coremltools passes that scale or merge weights, and so would break the layers' exact grids."""

STATES_FROM = 18
"""First iOS whose ML programs keep states between runs."""


@dataclass(frozen=True, slots=True)
class FloatProgram:
    """A converted model: the specification, its blobs by the name of their constant, and where each layer is.

    `spec` is a Core ML `Model` message whose blob offsets are stale; `blobs` hold (dtype, array). `placements`:
    layer name → per weight of the layer, the constants that hold it (empty when the converter merged it). `shapes`:
    of every planned weight; `operations`: the `const` of every blob. `shared`: layers whose weight an earlier one stores.
    """

    spec: Any
    blobs: dict[str, tuple[str, Any]]
    placements: dict[str, tuple[tuple[Placement, ...], ...]]
    shapes: dict[str, tuple[int, ...]]
    operations: dict[str, Any]
    ios: int
    shared: frozenset[str] = frozenset()


def convert(model: Model, ios: int) -> FloatProgram:
    """Convert `model` for iOS `ios` (16, 17 or 18) with float16 weights; LoweringError when coremltools refuses it."""
    ct = coremltools()
    if model.language is not None and ios < STATES_FROM:
        raise BadInput(f"model {model.name!r} is a language model, whose cache ML programs hold from iOS {STATES_FROM} on")
    try:
        prepared = prepare(model)
        with quiet(), tempfile.TemporaryDirectory(prefix="snugfit-coreml-") as folder:
            package = _run(ct, prepared.program, model, ios, folder)
            spec = package.get_spec()
            blobs = _read_blobs(spec, Path(package.weights_dir) / "weight.bin")
    except SdkError:
        raise
    except Exception as error:
        raise LoweringError(
            f"coreml: coremltools cannot convert {_operator_of(error)}{model.name!r} ({_first_line(error)}): write the model "
            "without, or choose another target"
        ) from error
    held = give_back(model, prepared.standing, spec, blobs)
    placements = find_layers(model, prepared, spec, blobs, held)
    shared = share_tied(model, spec, blobs, placements)
    tidy(spec, blobs, model, {p.const for weights in placements.values() for held in weights for p in held})
    module = model.program.module(check_guards=False)
    shapes = {w: tuple(module.get_parameter(w).shape) for layer in model.inventory.layers for w in layer.weights}
    operations = {op.outputs[0].name: op for op in walk(main_block(spec)) if op.type == "const"}
    return FloatProgram(spec, blobs, placements, shapes, operations, ios, shared)


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
    inputs = None if model.language is None else _token_inputs(ct, model.language)
    return ct.convert(
        program, convert_to="mlprogram", minimum_deployment_target=getattr(ct.target, f"iOS{ios}"), inputs=inputs,
        outputs=outputs, compute_precision=ct.transform.FP16ComputePrecision(Halving()), skip_model_load=True,
        pass_pipeline=pipeline, package_dir=str(Path(folder) / "model.mlpackage"),
    )


def _token_inputs(ct: Any, language: Language) -> list[Any]:
    """Tokens and mask, of any number up to the window and the context."""
    import numpy as np

    count = ct.RangeDim(1, language.window, default=1)
    end = ct.RangeDim(1, language.context, default=1)
    return [ct.TensorType(TOKENS, (1, count), np.int32), ct.TensorType(MASK, (1, 1, count, end), np.float16)]


def _operator_of(error: BaseException) -> str:
    """`operator X of `, X being what was converted when an error came, empty where the error came from elsewhere."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    found = [frame.f_locals["node"] for frame in frames if frame.f_code.co_name == "convert_single_node"]
    if not found:
        return ""
    last = found[-1]
    return f"operator {last.inputs[0] if last.kind == 'getitem' else last.kind} of "  # an output of which nothing is known


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300].rstrip(".") if text else f"{type(error).__name__} without a word"
