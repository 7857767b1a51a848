"""Keeps the float weights of a big model in a file that is mapped, so that they need not stay in memory."""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from sdk.cache import cache_folder
from sdk.errors import BadInput
from sdk.models.turn import Change

BIG = 2 << 30
"""Bytes of float32 weights from which they are kept so."""

ALIGNMENT = 64
"""Bytes that each tensor in the file begins at a multiple of."""


class Spill:
    """A file without a name, gone with the process, that holds tensors in float32; what is written to them stays in memory."""

    def __init__(self, tensors: Sequence[Any], changes: Mapping[Any, Change]) -> None:
        """Move `tensors` (of any floating dtype) into the file: they are float32 afterwards, changed where `changes` say so.

        BadInput where the disk is full.
        """
        import torch

        folder, places = cache_folder(), []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                for tensor in tensors:
                    file.write(bytes(-file.tell() % ALIGNMENT))
                    places.append((file.tell(), tuple(tensor.shape)))
                    changed = changes.get(tensor, _same)(tensor.detach().float()).contiguous()
                    file.write(changed.reshape(-1).view(torch.uint8).numpy().data)
                    tensor.data = torch.empty(0)  # its memory is given back before the next one is read
                file.flush()
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise BadInput(
                f"the model's float weights do not fit into {folder} ({(error.strerror or str(error)).lower()}): "
                "set SDK_CACHE to a folder with more room"
            ) from error
        for tensor, (start, shape) in zip(tensors, places, strict=True):
            whole = torch.frombuffer(self._map, dtype=torch.float32, count=math.prod(shape), offset=start)
            tensor.data = whole.reshape(shape)

    def release(self) -> None:
        """Give back the memory that reading the tensors filled; the next reading fills it again."""
        self._map.madvise(mmap.MADV_DONTNEED)


def _same(tensor: Any) -> Any:
    return tensor


def put(module: Any, changes: Mapping[Any, Change]) -> Spill | None:
    """Give the parameters of `module` the values that `changes` make of them; more than BIG bytes in float32 go into a file."""
    parameters = list(module.parameters())
    if all(p.is_floating_point() for p in parameters) and 4 * sum(p.numel() for p in parameters) > BIG:
        return Spill(parameters, changes)
    for parameter, change in changes.items():
        parameter.data = change(parameter.detach().float())
    for parameter in parameters:
        if parameter.untyped_storage().nbytes() > parameter.nbytes:
            parameter.data = parameter.detach().clone()  # a part of a joined one; backends write a tensor's whole storage
    return None
