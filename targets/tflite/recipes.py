"""AI Edge Quantizer recipes, one per operator: which transformations store a layer's exact grid.

The quantizer's own algorithms derive scales from the weights; ours is registered next to them and hands it the
codes and scales that the plan's rounding chose, so that the file holds exactly those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdk.lowering import Range
from sdk.rounding import Grid
from sdk.rounding.lattice import LEAST_SCALE
from sdk.schemes import Scheme
from targets.tflite.match import CHANNEL_AXIS, Place

ALGORITHM = "snugfit_grid"
"""Key of our algorithm in the quantizer's registry."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What happens to the operators that read one weight: its new parameters and how the operator computes.

    `mode`: `integer` (the operator takes the quantized weight), `dequantize` (a dequantize goes in front of it) or
    `static` (input and output are quantized as well, with `input` and `output` ranges).
    """

    weight: str
    parameters: Any = field(repr=False)
    mode: str
    input: Range | None = None
    output: Range | None = None


MODES = {"dynamic": "integer", "float": "dequantize", "static": "static"}
"""A scheme's activations → how its operators compute."""


def mode_of(scheme: Scheme, builtin: str) -> str:
    """How an operator computes in a scheme; a lookup reads integer rows by itself."""
    if builtin == "EMBEDDING_LOOKUP" and scheme.format == "int":
        return "integer"
    return MODES[scheme.activations]


def weight_parameters(place: Place, grid: Grid) -> Any:
    """Return the quantizer's parameters that hold `grid` in the layout of `place`."""
    import numpy as np
    from ai_edge_quantizer import qtyping

    if grid.scheme.format == "float":
        return qtyping.NonLinearQuantParams(num_bits=16, quantized_data=stored_float(place, grid).astype(np.float16))
    grouped = grid.scheme.granularity == "group"
    scale = stored_scale(place, grid)
    return qtyping.UniformQuantParams(
        num_bits=grid.scheme.bits,
        quantized_dimension=CHANNEL_AXIS[place.builtin],
        scale=scale if grouped else scale.reshape(-1),
        zero_point=np.zeros(scale.size, np.int64),
        quantized_data=stored_codes(place, grid),
        block_size=grid.scheme.group,
    )


def stored_codes(place: Place, grid: Grid) -> Any:
    """The integers in the layout of the file: a channel whose factor is negative changes their sign."""
    codes = place.arrange(grid.codes.numpy())
    return codes if place.ratio is None else (codes * place.over_channels(place.factors[0])).astype(codes.dtype)


def stored_float(place: Place, grid: Grid) -> Any:
    """The float weight (float32, layout of the file) with the converter's factor per channel applied."""
    array = place.arrange(grid.value.numpy())
    if place.ratio is None:
        return array
    return array * place.over_channels(place.ratio)


def stored_scale(place: Place, grid: Grid) -> Any:
    """The scales (float32 [channels, groups]) as the file holds them: group scales in bfloat16's precision.

    A factor that the converter merged may take a group's scale below what float16 holds: then it is the least of those.
    """
    import numpy as np
    import torch

    scale = grid.scale.expand(grid.shape[grid.channel_axis], -1)
    if place.rows is not None:
        scale = scale[torch.from_numpy(place.rows)]
    if place.ratio is not None:
        scale = scale * torch.from_numpy(place.factors[1]).unsqueeze(1)
    if grid.scheme.granularity == "group":
        scale = scale.to(torch.bfloat16).to(torch.float16).float().clamp(min=LEAST_SCALE)
    return np.ascontiguousarray(scale.numpy())


class Book:
    """The recipes of a whole file by operator scope, in the form that the quantizer's parameter generator asks."""

    def __init__(self, recipes: Mapping[str, Recipe]) -> None:
        self._recipes = dict(recipes)

    def need_calibration(self) -> bool:
        """Ranges come with the plan."""
        return False

    def get_quantization_configs(self, target_op_name: Any, scope_name: str) -> tuple[str, Any]:
        """Return the algorithm and configuration of one operator."""
        from ai_edge_quantizer import qtyping
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        known = scope_name in self._recipes and target_op_name.value not in ("INPUT", "OUTPUT")
        return (ALGORITHM if known else AlgorithmName.NO_QUANTIZE), qtyping.OpQuantizationConfig()

    @property
    def weights(self) -> dict[str, Any]:
        """Weight tensor → its recipe: what the quantizer passes through to our algorithm."""
        return {recipe.weight: recipe for recipe in self._recipes.values()}


def register() -> None:
    """Add our algorithm to the quantizer's registry for every operator with a weight."""
    from ai_edge_quantizer import algorithm_manager, qtyping

    names = qtyping.TFLOperationName
    for name in (names.FULLY_CONNECTED, names.CONV_2D, names.DEPTHWISE_CONV_2D, names.CONV_2D_TRANSPOSE,
                 names.EMBEDDING_LOOKUP):
        algorithm_manager.register_quantized_op(ALGORITHM, name, _unused, _unused, materialize)


def _unused(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


def materialize(
    op_info: Any, graph_info: Any, tensor_name_to_qsv: Mapping[str, Any], tensor_quant_params_cache: Any
) -> list[Any]:
    """Return the transformations of one operator's tensors (the quantizer calls this)."""
    from ai_edge_quantizer import qtyping

    def named(index: int) -> str:
        return str(graph_info.subgraph_tensors[index].name.decode())

    inputs = [named(i) if i >= 0 else None for i in op_info.op.inputs]
    recipe = next(tensor_name_to_qsv[name] for name in inputs if name is not None and name in tensor_name_to_qsv)
    out = []
    for position, name in enumerate(inputs):
        if name is None:
            continue
        steps, parameters = _operand(recipe, position, name, op_info)
        consumer = qtyping.OpToTensorParams(op_info.subgraph_op_index, steps, parameters)
        out.append(qtyping.TensorTransformationParams(name, consumers=[consumer]))
    for index in op_info.op.outputs:
        steps, parameters = _result(recipe)
        producer = qtyping.OpToTensorParams(op_info.subgraph_op_index, steps, parameters)
        out.append(qtyping.TensorTransformationParams(named(index), producer=producer))
    return out


DATA_OPERAND = {"CONV_2D_TRANSPOSE": 2}
"""Position of the input tensor where it is not the first operand; the bias is the last."""


def _operand(recipe: Recipe, position: int, name: str, op_info: Any) -> tuple[list[Any], Any]:
    from ai_edge_quantizer.qtyping import QuantTransformation as Do

    data = DATA_OPERAND.get(op_info.op_name.value, 0)
    if name == recipe.weight:
        return [Do.ADD_DEQUANTIZE if recipe.mode == "dequantize" else Do.QUANTIZE_TENSOR], recipe.parameters
    if recipe.mode != "static" or recipe.input is None:
        return [Do.NO_QUANTIZE], None
    if position == data:
        return [Do.ADD_QUANTIZE], range_parameters(recipe.input)
    if position == data + (1 if data else 2):
        return [Do.QUANTIZE_TENSOR], recipe.parameters.custom_algorithm_param["bias"]
    return [Do.NO_QUANTIZE], None


def _result(recipe: Recipe) -> tuple[list[Any], Any]:
    from ai_edge_quantizer.qtyping import QuantTransformation as Do

    if recipe.mode != "static" or recipe.output is None:
        return [Do.NO_QUANTIZE], None
    return [Do.ADD_DEQUANTIZE], range_parameters(recipe.output)


def range_parameters(found: Range) -> Any:
    """A calibrated range as the quantizer's parameters."""
    import numpy as np
    from ai_edge_quantizer import qtyping

    return qtyping.UniformQuantParams(
        num_bits=8, quantized_dimension=None, scale=np.asarray([found.scale], np.float32),
        zero_point=np.asarray([found.zero_point], np.int64), symmetric=False,
    )


def with_bias(parameters: Any, bias: Any, found: Range) -> Any:
    """Add to a static weight's parameters those of its bias: int32 in steps of input scale times weight scale."""
    import dataclasses

    import numpy as np
    from ai_edge_quantizer import qtyping

    step = np.float32(found.scale) * parameters.scale.astype(np.float32)
    codes = np.clip(np.round(bias.astype(np.float64) / step), -(2**31), 2**31 - 1).astype(np.int32)
    made = qtyping.UniformQuantParams(
        num_bits=32, quantized_dimension=0, scale=step, zero_point=np.zeros(len(step), np.int64), quantized_data=codes
    )
    return dataclasses.replace(parameters, custom_algorithm_param={"bias": made})
