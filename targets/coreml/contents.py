"""Reads constants and weights back from a package's own bytes: values, compressed forms and what they take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed
from targets.coreml.blobs import BlobReader, stored_bytes
from targets.coreml.package import read_spec, weights_file
from targets.coreml.program import dtype_name, inline_value, main_block, value_shape, walk

FAMILIES = {"int8": "int8", "int4": "int4", "uint1": "lut1", "uint2": "lut2", "uint3": "lut3", "uint4": "lut4",
            "uint6": "lut6", "uint8": "lut8"}
"""Data type of the stored codes → first part of our scheme's name."""

FLOATS = {"float16": "fp16", "float32": "fp32"}


@dataclass(slots=True)
class Contents:
    """An opened package. `producers`: constant's name → the operation that yields it."""

    spec: Any
    block: Any
    reader: BlobReader | None
    producers: dict[str, Any] = field(default_factory=dict)

    def value(self, value: Any) -> Any:
        """Return a Value as numpy: immediate, or from the weights file."""
        if value.HasField("blobFileValue"):
            if self.reader is None:
                raise CheckFailed("the package has no weights file but its program refers to one")
            return self.reader.read(value.blobFileValue.offset, dtype_name(value), value_shape(value))
        return inline_value(value)


def open_contents(path: Path) -> Contents:
    """Open the package at `path`; CheckFailed when it cannot be read."""
    spec = read_spec(path)
    file = weights_file(path)
    try:
        block = main_block(spec)
        contents = Contents(spec, block, BlobReader(file) if file.is_file() else None)
        for op in walk(block):
            if op.type == "const" or op.type.startswith("constexpr_"):
                contents.producers[op.outputs[0].name] = op
    except (StopIteration, IndexError, KeyError) as error:
        raise CheckFailed(f"{path.name}: the program has no readable main block") from error
    return contents


def parameters(op: Any) -> dict[str, Any]:
    """Return a constexpr's parameters: Values, or names of other operations' outputs."""
    found: dict[str, Any] = {k: v for k, v in op.attributes.items() if k != "name"}
    for key, argument in op.inputs.items():
        binding = argument.arguments[0]
        found[key] = binding.value if binding.HasField("value") else binding.name
    return found


def scheme_name(contents: Contents, op: Any) -> str:
    """Return our scheme's name of a stored weight, from the operation, its data types and shapes."""
    held = parameters(op)
    if op.type == "const":
        return FLOATS.get(dtype_name(held["val"]), dtype_name(held["val"]))
    if op.type == "constexpr_cast":
        return "fp16"
    if op.type == "constexpr_affine_dequantize":
        return f"{FAMILIES.get(dtype_name(held['quantized_data']), 'unknown')}_channel"
    if op.type == "constexpr_lut_to_dense":
        return _palette_name(held)
    if op.type == "constexpr_blockwise_shift_scale":
        if isinstance(held["data"], str):
            inner = contents.producers[held["data"]]
            shape = tuple(d.constant.size for d in inner.outputs[0].type.tensorType.dimensions)
            return scheme_name(contents, inner) + _scale_part(shape, held).replace("_channel", "_scaled")
        return FAMILIES.get(dtype_name(held["data"]), "unknown") + _scale_part(value_shape(held["data"]), held)
    return str(op.type).removeprefix("constexpr_")


def _palette_name(held: Mapping[str, Any]) -> str:
    if "shape" in held:
        return f"lut{int(math.log2(math.prod(value_shape(held['lut']))))}"
    shape, tables = value_shape(held["indices"]), value_shape(held["lut"])[:-2]
    family = FAMILIES.get(dtype_name(held["indices"]), "unknown")
    grouped = [size // count for size, count in zip(shape, tables, strict=True) if count > 1]
    return family if not grouped else f"{family}_gc{grouped[0]}" if len(grouped) == 1 else f"{family}_blocks"


def _scale_part(shape: tuple[int, ...], held: Mapping[str, Any]) -> str:
    scales = value_shape(held["scale"])
    split = [(size, count) for size, count in zip(shape, scales, strict=True) if count > 1]
    if len(split) <= 1 and all(size == count for size, count in split):
        return "_channel"
    return f"_g{math.prod(shape) // math.prod(scales)}"


def stored(contents: Contents, op: Any) -> int:
    """Return the bytes that a stored weight takes: its operations in the graph and its blobs."""
    size = op.ByteSize()
    total = size + 1 + max(1, (size.bit_length() + 6) // 7)
    for held in parameters(op).values():
        if isinstance(held, str):
            total += stored(contents, contents.producers[held])
        elif held.HasField("blobFileValue"):
            total += stored_bytes(dtype_name(held), math.prod(value_shape(held)))
    return int(total)
