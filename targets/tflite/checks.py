"""Reads a `.tflite` file that may be corrupt: everything that a runtime would follow blindly is checked first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed

BITS = {
    "FLOAT32": 32, "FLOAT16": 16, "FLOAT64": 64, "INT64": 64, "UINT64": 64, "INT32": 32, "UINT32": 32, "INT16": 16,
    "UINT16": 16, "INT8": 8, "UINT8": 8, "BOOL": 8, "INT4": 4, "INT2": 2,
}
"""Bits of one element of the tensor types that finished files hold."""


def checked(path: Path) -> Any:
    """Return the file as a `ModelT`; CheckFailed says what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{path}: cannot be read: {error.strerror or error}") from error
    return checked_bytes(data, str(path))


def checked_bytes(data: bytes, where: str) -> Any:
    """Return the bytes of a file as a `ModelT`; CheckFailed says what is wrong with them."""
    from targets.tflite.flatbuffer import read

    if len(data) < 16 or data[4:8] != b"TFL3":
        raise CheckFailed(f"{where}: is not a .tflite file (no TFL3 mark)")
    try:
        flat = read(data)
        _check(flat)
    except CheckFailed as error:
        raise CheckFailed(f"{where}: {error}") from error
    except Exception as error:
        raise CheckFailed(f"{where}: is corrupt ({type(error).__name__} while unpacking)") from error
    return flat


def _check(flat: Any) -> None:
    if flat.version != 3 or not flat.subgraphs or not flat.signatureDefs:
        raise CheckFailed("is corrupt: version, graph or signature is missing")
    for graph in flat.subgraphs:
        count = len(graph.tensors)
        for index, tensor in enumerate(graph.tensors):
            _check_tensor(flat, graph, tensor, index)
        for index, op in enumerate(graph.operators):
            if not 0 <= op.opcodeIndex < len(flat.operatorCodes):
                raise CheckFailed(f"is corrupt: operator {index} has no code")
            _in_range(op.inputs, -1, count, f"operator {index}")
            _in_range(op.outputs, 0, count, f"operator {index}")
        _in_range(graph.inputs, 0, count, "the graph")
        _in_range(graph.outputs, 0, count, "the graph")
    for signature in flat.signatureDefs:
        entries = [*(signature.inputs or ()), *(signature.outputs or ())]
        if not 0 <= signature.subgraphIndex < len(flat.subgraphs):
            raise CheckFailed(f"is corrupt: a signature is of graph {signature.subgraphIndex}")
        _in_range([e.tensorIndex for e in entries], 0, len(flat.subgraphs[signature.subgraphIndex].tensors), "the signature")


def _in_range(indices: Any, least: int, end: int, where: str) -> None:
    for index in indices if indices is not None else ():
        if not least <= int(index) < end:
            raise CheckFailed(f"is corrupt: {where} refers to tensor {int(index)} of {end}")


def _check_tensor(flat: Any, graph: Any, tensor: Any, index: int) -> None:
    from targets.tflite.flatbuffer import type_names

    kind = type_names().get(tensor.type)
    if kind not in BITS or not 0 <= tensor.buffer < len(flat.buffers):
        raise CheckFailed(f"is corrupt: tensor {index} has type {tensor.type} and buffer {tensor.buffer}")
    shape = [int(size) for size in tensor.shape] if tensor.shape is not None else []
    if any(size < 0 for size in shape):
        raise CheckFailed(f"is corrupt: tensor {index} has shape {shape}")
    data = flat.buffers[tensor.buffer].data
    if data is not None and len(data) != math.ceil(math.prod(shape) * BITS[kind] / 8):
        raise CheckFailed(f"is corrupt: tensor {index} ({kind} {shape}) holds {len(data)} bytes")
    if tensor.quantization is not None:
        _check_scales(flat, graph, tensor.quantization, shape, index)


def _check_scales(flat: Any, graph: Any, found: Any, shape: list[int], index: int) -> None:
    import numpy as np

    if found.details is not None:
        scales, block = int(found.details.scales), int(found.details.blockSize)
        if not 0 <= scales < len(graph.tensors) or block <= 0 or shape[-1] % block:
            raise CheckFailed(f"is corrupt: tensor {index} has bad block scales")
        held = flat.buffers[graph.tensors[scales].buffer].data
        values = np.frombuffer(b"" if held is None else bytes(held), np.float16)
        if values.size * block != math.prod(shape) or not np.all(np.isfinite(values)) or not np.all(values > 0):
            raise CheckFailed(f"is corrupt: tensor {index} has bad block scales")
    elif found.scale is not None:
        values, axis = np.asarray(found.scale), int(found.quantizedDimension)
        fits = values.size == 1 or (0 <= axis < len(shape) and values.size == shape[axis])
        if not fits or not np.all(np.isfinite(values)) or not np.all(values > 0):
            raise CheckFailed(f"is corrupt: tensor {index} has bad scales")
