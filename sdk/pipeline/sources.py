"""What a request's references give before anything is computed of them: the exported model and the calibration data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from sdk.errors import BadInput
from sdk.models.load import Exported, digest_of, export_model
from sdk.models.references import load_attribute
from sdk.pipeline.request import TAKEN, Request
from sdk.planning import EXACT
from sdk.rounding import lies_on, recognise
from sdk.schemes import all_schemes, fits

AS_THEY_CAME = ("fp32", "fp16", EXACT)
"""Presets that change no weight's function: floats, and grids that checkpoints came on."""

SOME = 64
"""Channels of a weight, evenly spread, by which a palette's grid is known."""


@dataclass(frozen=True)
class Sources:
    """An exported model and the raw calibration data, None where there are none."""

    exported: Exported
    data: Iterable[Any] | None

    @cached_property
    def digest(self) -> str | None:
        """sha256 over both, by which what was computed of them is found again; None where the data are of an unknown sort."""
        digest = hashlib.sha256(self.exported.digest.encode())
        try:
            _add(digest, self.data)
        except (TypeError, RuntimeError):  # such as objects, text in arrays, sparse tensors
            return None
        return digest.hexdigest()


def read_sources(request: Request) -> Sources:
    """Call the references of `request`; raises BadInput."""
    data = read_calibration(request)
    exported = export_model(
        request.model, request.example, trust=request.trust, folder=request.folder, context=request.context,
        samples=data if data is not None else (),
        on_grid=_has_grid if turns(request) else None,
    )
    return Sources(exported, data)


def turns(request: Request) -> bool:
    """Whether a language model gets another basis (see `sdk.models.turn`): not where its weights are to stay as they came."""
    return request.uniform not in AS_THEY_CAME


def _has_grid(weight: Any) -> bool:
    """Whether a weight lies on a grid that a target may hold: none holds offsets, some hold scales of either sign."""
    said = recognise(weight, 0)
    if said is not None and "offsets" not in said:
        return True
    some = weight.detach()[:: -(-weight.shape[0] // SOME)]
    signed = [scheme for scheme in all_schemes().values() if scheme.scale_group and fits(scheme, tuple(some.shape), 0) is None]
    return any(lies_on(some, scheme, 0) for scheme in signed)


def read_calibration(request: Request, most: int = TAKEN) -> list[Any] | None:
    """Return the first `most` of the request's calibration data, its function called; BadInput when that fails."""
    data = request.calibration
    if isinstance(data, str):
        made = load_attribute(data, request.folder or Path(), "calibration")
        try:
            data = made() if callable(made) else made
        except (Exception, SystemExit) as error:
            raise BadInput(f"calibration: {request.calibration!r} failed: {type(error).__name__}: {error}") from error
        if data is None:
            raise BadInput(f"calibration: {request.calibration!r} returned None: return (or yield) the input tuples")
    if data is None:
        return None
    if isinstance(data, str):
        raise BadInput(f"calibration: {request.calibration!r} returned one text: return (or yield) several, in a list")
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):  # a map-style Dataset has that alone
        raise BadInput(f"calibration: a {type(data).__name__} is not an iterable of input tuples")
    try:
        found = islice(data, most)  # more are not looked at, and a loader may never end
        return list(found) if isinstance(data, list | tuple) else [_own(sample) for sample in found]
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        raise BadInput(f"calibration: reading the samples failed: {type(error).__name__}: {error}") from error


def _own(sample: Any) -> Any:
    """The sample in memory of its own: what makes samples one by one may write the next into the same memory."""
    import numpy as np
    import torch
    from torch.utils import _pytree as pytree

    def copied(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().clone()
        return value.copy() if isinstance(value, np.ndarray) else value

    return pytree.tree_map(copied, sample)


def _add(digest: Any, value: Any) -> None:
    """Add `value`, tensors and plain data in lists, tuples and dicts, to `digest`; TypeError for anything else."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor | np.ndarray):
        digest.update(digest_of([torch.as_tensor(value)]).encode())
    elif isinstance(value, dict):
        digest.update(b"{")
        for key, each in value.items():
            _add(digest, key)
            _add(digest, each)
    elif isinstance(value, list | tuple):
        digest.update(f"{type(value).__name__}{len(value)}".encode())
        for each in value:
            _add(digest, each)
    elif value is None or isinstance(value, str | bytes | int | float | bool):
        digest.update(f"{type(value).__name__} {value!r}\n".encode())
    else:
        raise TypeError(type(value).__name__)
