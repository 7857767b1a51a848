"""Computes what a package's constants hold: compressed weights are unfolded to floats, some rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sdk.errors import CheckFailed
from targets.coreml.blobs import unpack
from targets.coreml.contents import Contents, parameters

CHUNK = 1 << 22
"""Weights unfolded at once: a big weight with all that is computed of it on the way would take ten times its floats."""


def decompress(contents: Contents, op: Any) -> Any:
    """Return what a const or constexpr operation yields: floats as float32, other types as they are."""
    held = {key: decompress(contents, contents.producers[v]) if isinstance(v, str) else contents.value(v)
            for key, v in parameters(op).items()}
    if op.type not in _DECOMPRESS:
        raise CheckFailed(f"the package holds weights as {op.type}, which cannot be read back")
    array = _DECOMPRESS[op.type](held)
    return array.astype("float32") if getattr(array, "dtype", None) in ("float16", "float64") else array


def _blockwise(held: Mapping[str, Any]) -> Any:
    import numpy as np

    data, shape = held["data"], held["data"].shape
    scale = held["scale"].astype("float32")
    offset = held["offset"].astype("float32") if "offset" in held else None
    made = np.empty(shape, np.float32)
    for rows in _rows(shape):
        part = data[rows].astype("float32")
        if offset is not None:
            part -= _spread(offset, shape, rows)
        np.multiply(part, _spread(scale, shape, rows), out=made[rows])
    return made


def _palette(held: Mapping[str, Any]) -> Any:
    import numpy as np

    if "shape" in held:
        table, shape = held["lut"].astype("float32"), tuple(int(d) for d in held["shape"])
        bits = int(math.log2(table.size))
        return table[unpack(held["indices"].tobytes(), bits, math.prod(shape), False)].reshape(shape)
    indices, table = held["indices"], held["lut"].astype("float32")
    if table.shape[-1] != 1:
        raise CheckFailed("the package holds vector palettes, which cannot be read back")
    if table.size == table.shape[-2]:
        return table.reshape(-1)[indices]
    made = np.empty(indices.shape, np.float32)
    for rows in _rows(indices.shape):
        tables = _spread(table[..., 0], (*indices.shape, table.shape[-2]), rows)
        made[rows] = np.take_along_axis(tables, indices[rows][..., None].astype(np.int64), axis=-1)[..., 0]
    return made


def _affine(held: Mapping[str, Any]) -> Any:
    import numpy as np

    data, axis = held["quantized_data"], int(held["axis"])
    shape = [-1 if i == axis else 1 for i in range(data.ndim)]
    scale, zero = (np.reshape(np.asarray(held[k], np.float32), shape) for k in ("scale", "zero_point"))
    return scale * (data.astype(np.float32) - zero)


def _rows(shape: tuple[int, ...]) -> Iterator[slice]:
    """Runs of the first axis that have about CHUNK weights."""
    step = max(1, CHUNK // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def _spread(blocks: Any, shape: tuple[int, ...], rows: slice) -> Any:
    """Repeat each block's entry over the block; of the first axis' `rows` alone."""
    import numpy as np

    if blocks.shape[0] > 1:
        blocks = blocks[np.arange(rows.start, rows.stop) // (shape[0] // blocks.shape[0])]
    for axis, size in list(enumerate(shape))[1:]:
        if blocks.shape[axis] not in (1, size):
            blocks = blocks.repeat(size // blocks.shape[axis], axis=axis)
    return blocks


_DECOMPRESS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "const": lambda held: held["val"],
    "constexpr_cast": lambda held: held["source_val"],
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _palette,
}
