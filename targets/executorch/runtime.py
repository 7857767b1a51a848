"""Executes a .pte in ExecuTorch's own runtime."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdk.errors import BadInput, CheckFailed, Missing
from sdk.heap import give_back_large_blocks
from sdk.lowering.types import Arrays
from targets.executorch.program import read_program

LOAD = """
import sys
from executorch.extension.llm.custom_ops import custom_ops
from executorch.kernels import quantized
from executorch.runtime import Runtime
Runtime.get().load_program(sys.argv[1]).load_method("forward")
"""
"""What the process that may crash runs."""

LOAD_SECONDS = 120
"""Longest that loading in a process of its own may take."""

TRIAL_SECONDS = 20
"""Longest that the quick trial in a copy of this process may take before the slower one decides."""

CONTEXT_METHOD = "get_max_context_len"
"""A method that the programs of language models have."""

_KNOWN: set[str] = set()
"""Digests of files that have been loaded without harm in this process."""


@dataclass(slots=True)
class PteExecutable:
    """A loaded program; `run` takes and gives numpy arrays in the model's order and dtypes."""

    runtime: str
    origin: str
    method: Any
    lookups: Mapping[int, int] = field(default_factory=dict)
    """Rows of the tables that inputs are row numbers of, by the input's place: quantized lookups end the process on others."""

    def run(self, inputs: Arrays) -> Arrays:
        """Execute once. The arrays are copied in; CheckFailed when the runtime refuses them, BadInput for rows there are not."""
        import numpy as np
        import torch

        for place, rows in self.lookups.items():
            least, most = int(np.min(inputs[place])), int(np.max(inputs[place]))
            if not 0 <= least <= most < rows:
                raise BadInput(f"input {place} has row numbers from {least:,} to {most:,}; the model's table has {rows:,} rows")
        tensors = [torch.from_numpy(np.array(value, order="C")) for value in inputs]
        try:
            outputs = self.execute(tensors)
        except RuntimeError as error:
            shapes = [tuple(t.shape) for t in tensors]
            told = _told(lambda: self.execute(tensors)) or str(error)
            raise CheckFailed(f"ExecuTorch failed on inputs of shapes {shapes}: {told}") from error
        return [np.array(value.numpy() if isinstance(value, torch.Tensor) else value) for value in outputs]

    def execute(self, tensors: Sequence[Any]) -> Any:
        """Return the runtime's own outputs, which the next call overwrites.

        Copies of large ones would be torch's, whose threads then wait busily for more work on the cores that the runtime's need.
        """
        return self.method._method.call(tensors, clone_outputs=False)


@dataclass(slots=True)
class TokenPte(PteExecutable):
    """A loaded language model; `run` reads a whole window from position 0."""

    def run(self, inputs: Arrays) -> Arrays:
        """Execute on [tokens] and return [logits]; CheckFailed when the runtime refuses."""
        import numpy as np

        return PteExecutable.run(self, [*inputs, np.zeros(1, np.int64)])

    def step(self, tokens: Sequence[int], position: int) -> Any:
        """Return the logits behind the last of `tokens`, which stand at `position` and after."""
        import torch

        given = [torch.tensor([list(tokens)], dtype=torch.int64), torch.tensor([position], dtype=torch.int64)]
        try:
            return self.execute(given)[0][0, -1].numpy().copy()
        except RuntimeError as error:
            raise CheckFailed(f"ExecuTorch failed on {len(tokens)} tokens at position {position}: {error}") from error


def _told(execute: Callable[[], Any]) -> str:
    """Execute again what failed, and return which kernel refuses and why, which the runtime writes to stderr alone."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            with contextlib.suppress(RuntimeError):
                execute()
            os.dup2(kept, 2)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    failed = next((at for at, line in enumerate(lines) if "KernelCall failed" in line), None)
    if failed is None:
        return ""
    kernel = lines[failed].partition("in operator ")[2].partition(":")
    name = kernel[0] + "".join(kernel[1:]).rpartition(":")[0]
    why = next((line.partition("] ")[2] for line in lines[:failed] if _REFUSAL.search(line)), "")
    return f"its kernel {name} refuses{f': {why}' if why else ''}"


_REFUSAL = re.compile(r"Check failed|Unhandled|not supported|unsupported", re.IGNORECASE)
"""How kernels begin to say what they do not take."""


def open_program(path: Path, version: str | None) -> PteExecutable:
    """Load the program at `path`; CheckFailed when it is corrupt, Missing without the runtime.

    Header, sizes and offsets are checked first. The runtime can abort on what is left of damage, so a file
    that this process has not loaded before is first loaded in another one.
    """
    lookups = read_program(path).lookups  # the rest would hold the file's bytes while it is loaded
    if version is None:
        raise Missing("executorch is not installed: pip install 'snugfit[executorch]'")
    from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  (registers attention with a cache)
    from executorch.kernels import quantized  # noqa: F401  (registers the quantized operators)
    from executorch.runtime import Runtime

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest not in _KNOWN and not _loads_in_copy(path):
        _load_apart(path)
    try:
        program = Runtime.get().load_program(str(path))
        speaks = CONTEXT_METHOD in program.method_names
        if speaks:
            give_back_large_blocks()
        method = program.load_method("forward")
    except (RuntimeError, ValueError, OSError) as error:
        raise CheckFailed(f"{path.name}: ExecuTorch refuses to load it: {error}") from error
    _KNOWN.add(digest)
    kind = TokenPte if speaks else PteExecutable
    return kind(f"XNNPACK (executorch {version})", "host", method, lookups)


def _loads_in_copy(path: Path) -> bool:
    """Load in a forked copy of this process, which is quick; False when that failed for whatever reason."""
    if not hasattr(os, "fork"):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forking with threads: the copy only loads, and a hang ends below
        child = os.fork()
    if not child:
        _load_and_exit(path)
    deadline = time.monotonic() + TRIAL_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _load_and_exit(path: Path) -> None:
    """In the copy: load silently and leave without any clean-up of the original's."""
    status = 1
    try:
        from executorch.runtime import Runtime

        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        Runtime.get().load_program(str(path)).load_method("forward")
        status = 0
    finally:
        os._exit(status)


def _load_apart(path: Path) -> None:
    """Load in a fresh process; CheckFailed when that crashes, refuses, hangs or lacks an operator."""
    command = [sys.executable, "-c", LOAD, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{path.name} is damaged: ExecuTorch hangs when loading it") from error
    lacking = sorted(set(re.findall(r"Missing operator: \[\d+\] (\S+)", done.stderr.decode(errors="replace"))))
    if lacking:
        raise CheckFailed(
            f"{path.name} cannot run: ExecuTorch has no kernel for {', '.join(lacking)}: write the model without, or choose "
            "another target"
        )
    if done.returncode:
        how = "crashes when loading" if done.returncode < 0 else "refuses to load"
        raise CheckFailed(f"{path.name} is damaged: ExecuTorch {how} it")
