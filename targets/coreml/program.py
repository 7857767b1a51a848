"""Reads and tidies the protobuf of an ML program: its block, its values, its names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sdk.models import Model
from targets.coreml.toolkit import proto

DTYPES = {
    1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 21: "int8", 22: "int16", 23: "int32",
    24: "int64", 25: "int4", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2",
    37: "uint1", 38: "uint6", 39: "uint3",
}
"""Data type by its number in MIL's protobuf."""

NUMBERS = {name: number for number, name in DTYPES.items()}

INPUTS, OUTPUTS = "snugfit.inputs", "snugfit.outputs"
"""Metadata keys: the model's own inputs and outputs as `name:dtype`, separated by commas."""

INLINE = 10
"""Arrays of fewer elements are written into the graph instead of the weights file."""


def main_block(spec: Any) -> Any:
    """Return the block of the program's main function; KeyError or StopIteration when there is none."""
    return next(iter(spec.mlProgram.functions["main"].block_specializations.values()))


def walk(block: Any) -> Iterator[Any]:
    """Yield every operation, those of nested blocks after their owner."""
    for op in block.operations:
        yield op
        for inner in op.blocks:
            yield from walk(inner)


def dtype_name(value: Any) -> str:
    """Return the data type of a Value."""
    return DTYPES.get(value.type.tensorType.dataType, "unknown")


def value_shape(value: Any) -> tuple[int, ...]:
    """Return the shape of a Value."""
    return tuple(d.constant.size for d in value.type.tensorType.dimensions)


def inline_value(value: Any) -> Any:
    """Return an immediate Value as numpy (strings and booleans included), in its shape."""
    import numpy as np

    from targets.coreml.blobs import WIDTHS, unpack

    tensor, dtype, shape = value.immediateValue.tensor, dtype_name(value), value_shape(value)
    field = tensor.WhichOneof("value")
    if field == "bytes":
        bits = WIDTHS[dtype]
        if bits < 8:
            return unpack(tensor.bytes.values, bits, int(np.prod(shape)), dtype.startswith("int")).reshape(shape)
        return np.frombuffer(tensor.bytes.values, dtype).reshape(shape)
    held = list(getattr(tensor, field).values) if field else []
    return np.array(held, dtype=object if dtype == "string" else dtype).reshape(shape)


def tensor_value(array: Any, dtype: str) -> Any:
    """Return an immediate Value of a numpy array."""
    value = typed_value(array.shape, dtype)
    tensor = value.immediateValue.tensor
    if dtype in ("float16", "int8", "uint8", "uint32"):
        tensor.bytes.values = array.astype(dtype).tobytes()
    elif dtype == "float32":
        tensor.floats.values.extend(float(x) for x in array.reshape(-1))
    else:
        tensor.ints.values.extend(int(x) for x in array.reshape(-1))
    return value


def text_value(text: str) -> Any:
    """Return an immediate Value of a string."""
    value = typed_value((), "string")
    value.immediateValue.tensor.strings.values.append(text)
    return value


def typed_value(shape: tuple[int, ...], dtype: str) -> Any:
    """Return a Value with a tensor type and nothing in it."""
    value = proto().MIL_pb2.Value()
    fill_type(value.type.tensorType, shape, dtype)
    return value


def fill_type(kind: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Set a TensorType to `dtype` and `shape`."""
    kind.dataType = NUMBERS[dtype]
    kind.rank = len(shape)
    for size in shape:
        kind.dimensions.add().constant.size = size


def tidy(spec: Any, blobs: dict[str, tuple[str, Any]], model: Model, planned: Collection[str]) -> None:
    """Name inputs and outputs as the model does, share equal constants, drop dates, all in a fixed order.

    `planned` are names of constants that hold weights, which stay apart. A language model's inputs have their names already.
    """
    block = main_block(spec)
    if model.language is None:
        _rename_features(spec, block, [spec.name for spec in model.inputs], model)
    else:
        _rename_features(spec, block, feature_names([*spec.description.input, *spec.description.state]), model)
    _share_constants(block, blobs, planned)
    metadata = spec.description.metadata.userDefined
    for key in list(metadata):
        if key.endswith("conversion_date"):
            del metadata[key]
    metadata[INPUTS] = ",".join(f"{s.name}:{s.dtype}" for s in model.inputs)
    metadata[OUTPUTS] = ",".join(f"{s.name}:{s.dtype}" for s in model.outputs)


def _rename_features(spec: Any, block: Any, wanted_inputs: Sequence[str], model: Model) -> None:
    """Give the program's inputs (states behind them) and outputs these names; one that is taken inside moves out of the way."""
    declared = list(spec.mlProgram.functions["main"].inputs)
    inputs = {old.name: new for old, new in zip(declared, wanted_inputs, strict=True)}
    outputs = {old: new.name for old, new in zip(list(block.outputs), model.outputs, strict=True)}
    wanted = set(inputs.values()) | set(outputs.values())
    inner = {o.name for op in walk(block) for o in op.outputs} - set(outputs)
    names = {name: f"{name}_inner" for name in inner & wanted}
    for value, feature in zip(declared, [*spec.description.input, *spec.description.state], strict=True):
        value.name = feature.name = inputs[value.name]
    for old, feature in zip(list(block.outputs), spec.description.output, strict=True):
        feature.name = outputs[old] = outputs[old] + "_out" * (outputs[old] in inputs.values())
    rename(block, {**names, **inputs, **outputs})


def rename(block: Any, names: dict[str, str]) -> None:
    """Rename values everywhere in a block."""
    for op in walk(block):
        for output in op.outputs:
            output.name = names.get(output.name, output.name)
        for argument in op.inputs.values():
            for binding in argument.arguments:
                if binding.HasField("name") and binding.name in names:
                    binding.name = names[binding.name]
        for inner in op.blocks:
            inner.outputs[:] = [names.get(n, n) for n in inner.outputs]
    block.outputs[:] = [names.get(n, n) for n in block.outputs]


def _share_constants(block: Any, blobs: dict[str, tuple[str, Any]], planned: Collection[str]) -> None:
    """Keep one of equal constants and give small ones short names: a tenth of a small model's bytes."""
    first: dict[bytes, str] = {}
    names: dict[str, str] = {}
    kept = []
    outputs = set(block.outputs)
    for op in block.operations:
        name = op.outputs[0].name if op.outputs else ""
        if op.type != "const" or name in outputs or name in planned:
            kept.append(op)
            continue
        key = _content(op, blobs.get(name))
        if key in first:
            names[name] = first[key]
            blobs.pop(name, None)
            continue
        first[key] = name
        if name not in blobs:
            first[key] = names[name] = f"c{len(first)}"
            op.attributes["name"].CopyFrom(text_value(first[key]))
        kept.append(op)
    copies = [type(op).FromString(op.SerializeToString()) for op in kept]
    del block.operations[:]
    block.operations.extend(copies)
    rename(block, names)


def _content(op: Any, blob: tuple[str, Any] | None) -> bytes:
    """What a constant holds, in few bytes."""
    if blob is None:
        return bytes(op.attributes["val"].SerializeToString(deterministic=True))
    dtype, array = blob
    return f"{dtype} {array.shape} ".encode() + hashlib.sha256(array.tobytes()).digest()


def feature_names(features: Any) -> list[str]:
    """Return the names of the described inputs or outputs, in order."""
    return [f.name for f in features]


def described(spec: Any, key: str, features: Any) -> list[tuple[str, str]]:
    """Return (name, dtype) of the model's own inputs or outputs from the metadata, or from the features without it."""
    text = spec.description.metadata.userDefined.get(key, "")
    pairs = []
    for part in filter(None, text.split(",")):
        with contextlib.suppress(ValueError):
            name, dtype = part.rsplit(":", 1)
            pairs.append((name, dtype))
    names = feature_names(features)
    return pairs if len(pairs) == len(names) else [(n, "float32") for n in names]
