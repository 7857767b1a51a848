"""Writes one compressed weight as MIL operations: which constexpr operator, and what it is fed, by scheme and iOS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdk.schemes import Scheme
from targets.coreml.layout import Arrays
from targets.coreml.program import INLINE, fill_type, tensor_value, text_value, typed_value
from targets.coreml.toolkit import proto

Place = Callable[[Any, str], Any]
"""Turns an array of a data type into a Value: inline when small, else in the weights file."""


@dataclass(frozen=True, slots=True)
class Target:
    """The constant that is written: its name, shape and float type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def operations(target: Target, scheme: Scheme, arrays: Arrays, ios: int, place: Place) -> list[Any]:
    """Return the MIL operations whose last one yields the weight under the constant's name."""
    if ios < 18:
        return [_affine(target, arrays, place) if scheme.format == "int" else _packed_palette(target, scheme, arrays, place)]
    if scheme.format == "int":
        return [_blockwise(target, _value(place, arrays.codes, f"int{scheme.bits}"), arrays.scale, place)]
    if arrays.scale is None:
        return [_palette(target, target.name, scheme, arrays, place)]
    inner = f"{target.name}_palette"
    return [
        _palette(target, inner, scheme, arrays, place),
        _blockwise(target, inner, arrays.scale, place),
    ]


def float_operation(target: Target, array: Any, place: Place) -> Any:
    """Return the operation that yields an uncompressed weight, kept in float16 whatever the operator computes in."""
    if target.dtype == "float16":
        return constant(target, array, place)
    op = _operation("constexpr_cast", target)
    op.attributes["source_val"].CopyFrom(place(array, "float16"))
    op.attributes["output_dtype"].CopyFrom(text_value("fp32"))
    return op


def constant(target: Target, array: Any, place: Place) -> Any:
    """Return a `const` operation."""
    op = _operation("const", target)
    op.attributes["val"].CopyFrom(place(array, target.dtype))
    return op


def _blockwise(target: Target, data: Any, scale: Any, place: Place) -> Any:
    """iOS 18: output = scale * data, one scale per block."""
    op = _operation("constexpr_blockwise_shift_scale", target)
    _bind(op, "data", data)
    _bind(op, "scale", _value(place, scale, target.dtype))
    return op


def _palette(target: Target, name: str, scheme: Scheme, arrays: Arrays, place: Place) -> Any:
    """iOS 18: indices into one or more tables; the table has two axes more than the indices."""
    op = _operation("constexpr_lut_to_dense", Target(name, target.shape, target.dtype))
    _bind(op, "indices", _value(place, arrays.codes, f"uint{scheme.bits}"))
    _bind(op, "lut", _value(place, arrays.table[..., None], target.dtype))
    return op


def _affine(target: Target, arrays: Arrays, place: Place) -> Any:
    """iOS 16: scale * (data - zero point) with a vector of scales along one axis."""
    import numpy as np

    op = _operation("constexpr_affine_dequantize", target)
    axis = next((i for i, size in enumerate(arrays.scale.shape) if size > 1), 0)
    one = arrays.scale.size == 1
    op.attributes["quantized_data"].CopyFrom(_value(place, arrays.codes, "int8"))
    op.attributes["scale"].CopyFrom(_value(place, arrays.scale.reshape(() if one else -1), target.dtype))
    op.attributes["zero_point"].CopyFrom(_value(place, np.zeros((), np.int8), "int8"))
    op.attributes["axis"].CopyFrom(tensor_value(np.asarray(axis), "int32"))
    return op


def _packed_palette(target: Target, scheme: Scheme, arrays: Arrays, place: Place) -> Any:
    """iOS 16: packed indices into one table, and the shape that they unfold to."""
    import numpy as np

    from targets.coreml.blobs import pack

    op = _operation("constexpr_lut_to_dense", target)
    op.attributes["indices"].CopyFrom(_value(place, pack(arrays.codes, scheme.bits), "uint8"))
    op.attributes["lut"].CopyFrom(_value(place, arrays.table.reshape(-1), target.dtype))
    op.attributes["shape"].CopyFrom(tensor_value(np.asarray(target.shape), "uint32"))
    return op


def _value(place: Place, array: Any, dtype: str) -> Any:
    return tensor_value(array, dtype) if array.size < INLINE else place(array, dtype)


def _operation(kind: str, target: Target) -> Any:
    op = proto().MIL_pb2.Operation(type=kind)
    op.attributes["name"].CopyFrom(text_value(target.name))
    output = op.outputs.add(name=target.name)
    fill_type(output.type.tensorType, target.shape, target.dtype)
    return op


def _bind(op: Any, parameter: str, source: Any) -> None:
    """Feed a parameter with a Value, or with another operation's output by name."""
    binding = op.inputs[parameter].arguments.add()
    if isinstance(source, str):
        binding.name = source
    else:
        binding.value.CopyFrom(source)


def file_value(shape: tuple[int, ...], dtype: str, offset: int) -> Any:
    """Return a Value that lies in the weights file at `offset`."""
    value = typed_value(shape, dtype)
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = offset
    return value
