"""Executes a .pte in ExecuTorch's own runtime."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed, Missing
from sdk.lowering.types import Arrays
from targets.executorch.payload import read_payload
from targets.executorch.program import read_program

LOAD = """
import sys
from executorch.kernels import quantized
from executorch.runtime import Runtime
Runtime.get().load_program(sys.argv[1]).load_method("forward")
"""
"""What the process that may crash runs."""

LOAD_SECONDS = 300
"""Longest that loading in a process of its own may take."""


@dataclass(frozen=True, slots=True)
class PteExecutable:
    """A loaded program; `run` takes and gives numpy arrays in the model's order and dtypes."""

    runtime: str
    origin: str
    method: Any

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once. The arrays are copied in; CheckFailed when the runtime refuses them."""
        import numpy as np
        import torch

        tensors = [torch.from_numpy(np.array(value, order="C")) for value in inputs]
        try:
            outputs = self.method.execute(tensors)
        except RuntimeError as error:
            shapes = [tuple(t.shape) for t in tensors]
            raise CheckFailed(f"ExecuTorch failed to run the program on inputs of shapes {shapes}: {error}") from error
        return [np.array(value.numpy()) if isinstance(value, torch.Tensor) else np.asarray(value) for value in outputs]


def open_program(path: Path, version: str | None) -> PteExecutable:
    """Load the program at `path`; CheckFailed when it is corrupt, Missing without the runtime.

    Sizes, header and every offset are checked before the runtime sees the file; when it still fails to load here,
    the message is the runtime's. A file that could abort the runtime is caught by `loads_safely`.
    """
    program = read_program(path)
    for payload in program.payloads:
        read_payload(payload)
    if version is None:
        raise Missing("executorch is not installed: pip install 'snugfit[executorch]'")
    from executorch.kernels import quantized  # noqa: F401  (registers the quantized operators)
    from executorch.runtime import Runtime

    try:
        method = Runtime.get().load_program(str(path)).load_method("forward")
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckFailed(f"{path.name}: ExecuTorch refuses to load it: {error}") from error
    return PteExecutable(f"XNNPACK (executorch {version})", "host", method)


def loads_safely(path: Path) -> None:
    """Load the program in a process of its own; CheckFailed when that process crashes or refuses."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, timeout=LOAD_SECONDS, check=False
    )
    if done.returncode:
        raise CheckFailed(f"{path.name}: ExecuTorch {'crashes' if done.returncode < 0 else 'fails'} when loading it")
