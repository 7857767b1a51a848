"""What a Core ML delegate's package says: its operators, its weights with their schemes; evaluated by the Core ML target."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from sdk.errors import CheckFailed
from sdk.lowering.discovery import find_target
from sdk.lowering.types import Realised
from targets.executorch.backends.backend import Operator, Part, Stored
from targets.executorch.coreml_package import read_payload, unpacked
from targets.executorch.sites import fingerprint, scheme_called

CODED = {"constexpr_blockwise_shift_scale": "data", "constexpr_affine_dequantize": "quantized_data"}
"""Operation that unpacks integers → the name of its codes."""

TYPES = {"FLOAT16": ("float16", 16), "FLOAT32": ("float32", 32), "INT8": ("int8", 8), "INT4": ("uint8", 4)}
"""MIL data type → numpy's type of its bytes, bits of one element."""

BLOB = 64
"""Bytes of a blob's metadata, to whose multiples blobs are aligned."""


def part_of(payload: bytes) -> Part:
    """Return what a payload holds, and how it is evaluated here; CheckFailed when it is damaged."""
    from coremltools.proto import Model_pb2

    found = read_payload(payload)
    spec, blobs = Model_pb2.Model.FromString(found.spec), found.weights
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    shapes = {output.name: _shape(output.type) for op in block.operations for output in op.outputs}
    shapes |= {value.name: _shape(value.type) for value in function.inputs}
    operators = tuple(
        Operator(str(op.type), _macs(op, shapes)) for op in block.operations if not _is_constant(op)
    )
    weights = {}
    for index, op in enumerate(block.operations):
        stored = _stored(op, blobs) if _is_constant(op) else None
        if stored is not None:
            weights[index] = stored
    return Part(operators, weights, _Evaluation(payload))


class _Evaluation:
    """The package under the target `coreml`: Core ML itself on macOS, its evaluator elsewhere; opened when first asked for."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._opened: Any = None

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        import torch

        if self._opened is None:
            with unpacked(self._payload) as package:
                self._opened = find_target("coreml").open(package)
        return [torch.from_numpy(value) for value in self._opened.run([value.numpy() for value in inputs])]


def _is_constant(op: Any) -> bool:
    return op.type == "const" or str(op.type).startswith("constexpr_")


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(int(each.constant.size) for each in kind.tensorType.dimensions)


def _macs(op: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates of an operation; 0 for those that do not multiply by a matrix."""

    def operand(name: str) -> tuple[int, ...]:
        binding = op.inputs[name].arguments[0]
        return shapes.get(binding.name, ()) if binding.HasField("name") else _shape(binding.value.type)

    out = math.prod(_shape(op.outputs[0].type)) if op.outputs else 0
    if op.type == "conv":
        return out * math.prod(operand("weight")[1:])
    if op.type == "conv_transpose":
        return math.prod(operand("x")) * math.prod(operand("weight")[1:])
    if op.type in ("linear", "matmul"):
        return out * operand("x")[-1]
    return 0


def _stored(op: Any, blobs: bytes) -> Stored | None:
    """The weight that a constant operation holds, or None for what is no float or integer weight."""
    held = dict(_values(op))
    if op.type == "const":
        value = held.get("val")
        kind = _kind(value) if value is not None else ""
        if kind not in ("FLOAT16", "FLOAT32") or value is None:
            return None
        array, size = _read(value, blobs)
        return Stored(fingerprint(array.astype("float32")), Realised("fp16" if kind == "FLOAT16" else "fp32", size))
    if op.type not in CODED or CODED[op.type] not in held:
        return None
    codes, scales = held[CODED[op.type]], held["scale"]
    array, size = _read(codes, blobs)
    steps, more = _read(scales, blobs)
    rows = max(1, steps.shape[0] if steps.ndim else 1)
    groups = steps.size // rows
    inputs = array.size // rows
    name = scheme_called(4 if _kind(codes) == "INT4" else 8, "group" if groups > 1 else "channel", "float", inputs // groups)
    return Stored(fingerprint(array.reshape(-1), steps.astype("float32").reshape(-1)), Realised(name, size + more))


def _values(op: Any) -> Iterator[tuple[str, Any]]:
    """Every immediate or stored value of an operation by its parameter's name."""
    yield from op.attributes.items()
    for name, argument in op.inputs.items():
        if argument.arguments and argument.arguments[0].HasField("value"):
            yield name, argument.arguments[0].value


def _kind(value: Any) -> str:
    from coremltools.proto import MIL_pb2

    return str(MIL_pb2.DataType.Name(value.type.tensorType.dataType))


def _read(value: Any, blobs: bytes) -> tuple[Any, int]:
    """A value as an array of floats or codes, and the bytes that it takes."""
    import numpy as np

    kind, shape = _kind(value), _shape(value.type)
    if kind not in TYPES:
        raise CheckFailed(f"a Core ML payload holds a weight of type {kind}, which cannot be read")
    dtype, bits = TYPES[kind]
    count = math.prod(shape)
    size = (count * bits + 7) // 8
    if value.HasField("blobFileValue"):
        raw = _blob(blobs, int(value.blobFileValue.offset), size)
    else:
        tensor = value.immediateValue.tensor
        raw = tensor.bytes.values if tensor.WhichOneof("value") == "bytes" else np.asarray(tensor.floats.values, dtype).tobytes()
    data = np.frombuffer(raw, dtype)
    if bits == 4:
        halves = np.stack((data & 15, data >> 4), -1).reshape(-1)[:count].astype(np.int8)
        data = (halves ^ 8) - np.int8(8)
    if data.size != count:
        raise CheckFailed("a Core ML payload is damaged: a weight has the wrong number of bytes")
    return data.reshape(shape), size


def _blob(blobs: bytes, offset: int, size: int) -> bytes:
    if offset < 0 or offset + BLOB > len(blobs):
        raise CheckFailed("a Core ML payload is damaged: a weight is outside of its file")
    held, start = struct.unpack_from("<QQ", blobs, offset + 8)
    if held != size or start + size > len(blobs):
        raise CheckFailed("a Core ML payload is damaged: a weight is cut short")
    return blobs[start : start + size]

