"""The recorded inputs as files that every program reads: raw bytes, named with dtype and shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_inputs(inputs: Sequence[Any], folder: Path) -> list[str]:
    """Write each array to `input_000.bin`, … in `folder`; return `DTYPE:SHAPE:FILE` of each."""
    import numpy

    said = []
    for place, array in enumerate(inputs):
        name = f"input_{place:03}.bin"
        (folder / name).write_bytes(numpy.ascontiguousarray(array).tobytes())
        shape = "x".join(map(str, array.shape)) or "scalar"
        said.append(f"{array.dtype.name}:{shape}:{name}")
    return said
