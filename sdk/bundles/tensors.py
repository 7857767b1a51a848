"""The recorded run of a bundle: one input and what the artifact answered, in one safetensors file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed


def write_reference(path: Path, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Write numpy arrays as `input_000`, …, `output_000`, …; the same arrays give the same bytes."""
    import numpy
    from safetensors.numpy import save

    named = {f"{kind}_{i:03}": numpy.asarray(array, order="C")
             for kind, arrays in (("input", inputs), ("output", outputs)) for i, array in enumerate(arrays)}
    path.write_bytes(save(named))


def read_reference(path: Path) -> tuple[list[Any], list[Any]]:
    """Return (inputs, outputs) that `write_reference` wrote; CheckFailed when the file is damaged."""
    from safetensors.numpy import load

    try:
        named = load(path.read_bytes())
    except Exception as error:
        raise CheckFailed(f"{path.name}: cannot be read: {error}") from None
    if not all(re.fullmatch(r"(input|output)_\d{3}", name) for name in named):
        raise CheckFailed(f"{path.name}: holds tensors that are neither inputs nor outputs")
    names = sorted(named)
    return [named[n] for n in names if n[0] == "i"], [named[n] for n in names if n[0] == "o"]
