"""Reads a `.pt2` of torch.export without running code from it: no pickles but of tensors, no libraries, no calls of builtins."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdk.errors import BadInput

_HARMLESS = re.compile(
    r"models/[^/]+\.json|data/weights/(weight_\d+|[^/]+_config\.json)|data/constants/(tensor_\d+|[^/]+_config\.json)"
    r"|data/sample_inputs/[^/]+\.pt|extra/.*|archive_format|archive_version|byteorder|version|\.data/[^/]+"
)
"""Records that hold tensors and text; opaque objects (pickles) and AOTInductor libraries are none of them."""
_EXPRESSION = re.compile(
    r"(?!.*__)(?!.*\b[a-z_]\w*\s*\()(?!.*\.\s*[A-Za-z_])(?!.*[)']\s*\()([\w\s+\-*/%().,<>=!&|~]|'\w+')*"
)
"""What sympy may evaluate: numbers, operators and classes such as `Symbol('s0', positive=True)`; no builtin, no attribute."""
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load_pt2(path: Path, reference: str, trust: bool) -> Any:
    """Return the ExportedProgram at `path`; BadInput when it is unreadable, or holds code and is not trusted."""
    import torch

    try:
        if trust:
            return torch.export.load(str(path))
        _refuse_code(path, reference)
        with _weights_only():
            return torch.export.load(str(path))
    except BadInput:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
        if "weights_only" in str(error).lower() or "weights only" in str(error).lower():
            raise BadInput(_brings(reference, "a pickle of more than tensors")) from error
        raise BadInput(f"model {reference!r} is not a readable torch.export archive: {said}") from error


def _refuse_code(path: Path, reference: str) -> None:
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    for name in sorted(reader.get_all_records()):
        if not _HARMLESS.fullmatch(name):
            raise BadInput(_brings(reference, f"the record {name}"))
        if name.startswith("models/"):
            for text in _expressions(json.loads(reader.get_record(name))):
                if not _EXPRESSION.fullmatch(text):
                    raise BadInput(_brings(reference, f"the expression {text[:60]!r}"))


def _brings(reference: str, what: str) -> str:
    return f"model {reference!r} holds {what}, which could run code: it is read only with --trust (trust: true)"


def _expressions(value: Any) -> Iterator[str]:
    """Every expression of shapes in the program's JSON."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "expr_str":
                yield str(each)
            else:
                yield from _expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from _expressions(each)


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch's loader falls back to whole pickles where tensors alone cannot be read; not in here."""
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before
