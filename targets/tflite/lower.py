"""Writes a quantized model as a `.tflite` file: the float file, rewritten by AI Edge Quantizer per operator."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sdk.errors import LoweringError
from sdk.lowering import Quantized, Range
from sdk.models import Layer
from sdk.rounding import Grid
from sdk.sensitivity.ranges import affine_range
from targets.tflite.convert import FloatModel, fill
from targets.tflite.flatbuffer import as_bytes, new_tensor, read, tensor_array, write
from targets.tflite.layout import SEPARATOR
from targets.tflite.match import Place
from targets.tflite.paddings import pad_in_integers
from targets.tflite.pointwise import as_linear, can_be_linear, is_linear_scheme
from targets.tflite.pricing import objection
from targets.tflite.recipes import Book, Recipe, mode_of, register, stored_float, weight_parameters, with_bias
from targets.tflite.silence import silence
from targets.tflite.standins import make_room
from targets.tflite.stitch import stitched

FLOATS = ("fp32",)
"""Schemes that leave the float file's tensor as it is."""


def write_quantized(quantized: Quantized, source: FloatModel) -> bytes:
    """Return the bytes of the finished file; LoweringError when a layer cannot hold its scheme."""
    for layer in quantized.schemes:
        reason = objection(quantized.schemes[layer], layer, source)
        if reason is not None:
            raise LoweringError(f"layer {layer} cannot hold {quantized.schemes[layer].name}: {reason}")
    inside = {name for loop in source.loops for name in loop.source.places}
    main = _written(quantized, source, [name for name in source.places if name not in inside])
    bodies = [(loop.steps, _written(quantized, loop.source, loop.source.places)) for loop in source.loops]
    return stitched(main, bodies, source.shared)


def _written(quantized: Quantized, source: FloatModel, layers: Collection[str]) -> bytes:
    """One file of the model, with its `layers` in their schemes."""
    flat = read(source.data)
    if source.bare:
        make_room(flat, source.places)
        fill(flat, quantized.model, {name: found for name, found in source.places.items() if name not in quantized.schemes})
    recipes: dict[str, Recipe] = {}
    for layer in quantized.model.inventory.layers:
        if layer.name not in quantized.schemes or layer.name not in layers:
            continue
        grids = dict(zip(layer.weights, quantized.grids[layer.name], strict=True))
        for place in source.places[layer.name]:
            recipes.update(_apply(flat, layer, place, grids[place.parameter], quantized))
    return rewrite(flat, recipes, source.shared)


def find_sites(quantized: Quantized, source: FloatModel) -> dict[str, str]:
    """Return layer → names of its weight tensors in the finished file, for every layer that the file holds."""
    names: dict[tuple[str, str], str] = {}
    for part in (source, *(loop.source for loop in source.loops)):
        tensors, elsewhere = read(part.data).subgraphs[0].tensors, {name for loop in part.loops for name in loop.source.places}
        for layer, found in part.places.items():
            if layer not in elsewhere:
                names |= {(layer, place.parameter): tensors[place.tensor].name.decode() for place in found}
    return {
        layer: SEPARATOR.join(names[layer, place.parameter] for place in found)
        for layer, found in source.places.items() if layer in quantized.schemes
    }


def _apply(flat: Any, layer: Layer, place: Place, grid: Grid, quantized: Quantized) -> Mapping[str, Recipe]:
    """Prepare one weight in the float file and return the recipes of the operators that read it."""
    graph = flat.subgraphs[0]
    if grid.scheme.name in FLOATS:
        flat.buffers[graph.tensors[place.tensor].buffer].data = as_bytes(stored_float(place, grid))
        return {}
    if is_linear_scheme(grid.scheme, place) and can_be_linear(flat, place):
        place = as_linear(flat, place)
    mode = mode_of(grid.scheme, place.builtin)
    parameters = weight_parameters(place, grid)
    weight = graph.tensors[place.tensor].name.decode()
    out: dict[str, Recipe] = {}
    for index in place.operators:
        op = graph.operators[index]
        recipe = Recipe(weight, parameters, mode)
        if mode == "static":
            recipe = _static(flat, op, recipe, layer, quantized, place)
        out[_scope(flat, op)] = recipe
    return out


def _scope(flat: Any, op: Any) -> str:
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    return str(tfl_flatbuffer_utils.get_op_scope(op, flat.subgraphs[0].tensors))


def _static(flat: Any, op: Any, recipe: Recipe, layer: Layer, quantized: Quantized, place: Place) -> Recipe:
    """Add the calibrated ranges and an integer bias of the operator's own."""
    import numpy as np

    missing = [name for name in (layer.input, layer.output) if name not in quantized.ranges]
    if missing:
        raise LoweringError(f"layer {layer.name}: tensor {missing[0]} has no calibrated range for {recipe.mode} int8")
    found = quantized.ranges[layer.input]
    channels = len(recipe.parameters.scale)
    position = 3 if len(op.inputs) > 3 or _is_transposed(flat, op) else 2
    has_bias = len(op.inputs) > position and op.inputs[position] >= 0
    bias = tensor_array(flat, op.inputs[position]) if has_bias else np.zeros(channels, np.float32)
    if not has_bias or _readers(flat, op.inputs[position]) > 1 or bias.shape != (channels,):
        own = new_tensor(flat, f"{recipe.weight}/bias", [channels], "FLOAT32", bias.reshape(-1))
        op.inputs = np.asarray([*op.inputs[:position], own], np.int32)
    parameters = with_bias(recipe.parameters, bias.reshape(-1), found)
    return Recipe(recipe.weight, parameters, "static", found, _folded(quantized.ranges[layer.output], place.ratio))


def _folded(found: Range, ratio: Any) -> Range:
    """The range of an output that the converter multiplies by a factor per channel: what all channels together may reach."""
    if ratio is None:
        return found
    ends = [factor * (code - found.zero_point) * found.scale for factor in (ratio.min(), ratio.max()) for code in (-128, 127)]
    return affine_range(float(min(ends)), float(max(ends)))


def _readers(flat: Any, tensor: int) -> int:
    """Number of operators that read a tensor or its buffer."""
    graph = flat.subgraphs[0]
    buffer = graph.tensors[tensor].buffer
    return sum(1 for op in graph.operators for i in op.inputs if i >= 0 and graph.tensors[i].buffer == buffer)


def _is_transposed(flat: Any, op: Any) -> bool:
    from targets.tflite.flatbuffer import builtin_name

    return builtin_name(flat, op) == "TRANSPOSE_CONV"


def rewrite(flat: Any, recipes: Mapping[str, Recipe], shared: frozenset[int]) -> bytes:
    """Let AI Edge Quantizer apply the recipes (operator scope → recipe) and pack the file."""
    from ai_edge_quantizer import model_modifier, params_generator

    register()
    book = Book(recipes)
    try:
        with silence():
            made = params_generator.ParamsGenerator(flat).generate_quantization_parameters(book, book.weights, False)
            done = model_modifier.ModelModifier(flat).modify_model(made, enable_progress_bar=False)
        return write(pad_in_integers(read(done)), shared)
    except (ValueError, RuntimeError, KeyError, AssertionError) as error:
        raise LoweringError(f"AI Edge Quantizer refused the plan: {str(error).splitlines()[0][:300]}") from error
