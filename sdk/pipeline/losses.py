"""The loss that a request asks for: a name, or a function of the user's own."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.models.references import load_attribute
from sdk.pipeline.request import Request
from sdk.sensitivity import LOSSES, OwnLoss


def own(loss: Any) -> bool:
    """Whether `loss` is a function, or names one, rather than one of the SDK's."""
    return callable(loss) or ":" in loss


def load_loss(request: Request) -> str:
    """Return the request's loss, a function as `OwnLoss`. BadInput where there is none of that name."""
    loss = request.loss
    if not own(loss):
        return str(loss)
    function, name = loss, getattr(loss, "__name__", "loss")
    if isinstance(loss, str):
        function, name = load_attribute(loss, request.folder or Path(), "loss"), loss
    if not callable(function):
        raise BadInput(f"loss: {loss!r} is not a function loss(reference, outputs) -> tensor, nor one of {', '.join(LOSSES)}")
    return OwnLoss(f"{name}@{_digest(function)}", function)


def _digest(function: Callable[..., Any]) -> str:
    """Eight digits that tell the file which a function is from, or its own code."""
    try:
        code = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (OSError, TypeError):
        found = getattr(function, "__code__", None)
        code = repr((found.co_code, found.co_consts, found.co_names)).encode() if found is not None else repr(function).encode()
    return hashlib.sha256(code).hexdigest()[:8]
