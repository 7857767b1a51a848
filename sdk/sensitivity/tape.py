"""Tensors in a file, written once in a while and read back one by one, so that many take no memory."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Hashable
from typing import IO, Any

from sdk.cache import cache_folder
from sdk.errors import BadInput

SHORT = 1 << 20
"""Bytes up to which all of it stays in memory."""


class Tape:
    """A file without a name, gone with the process, that holds tensors by key; nothing that was read is held."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._places: dict[Hashable, tuple[int, Any, tuple[int, ...]]] = {}
        self._end = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._places

    def __getitem__(self, key: Hashable) -> Any:
        import torch

        start, dtype, shape = self._places[key]
        count = math.prod(shape)
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        content = bytearray(count * dtype.itemsize)
        assert self._file is not None
        self._file.seek(start)
        self._file.readinto(content)  # type: ignore[attr-defined]
        return torch.frombuffer(content, dtype=dtype).reshape(shape)

    def __setitem__(self, key: Hashable, tensor: Any) -> None:
        """Keep a tensor, in the place of an older one of its shape under the same key. BadInput where the disk is full."""
        import torch

        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        start = self._places[key][0] if key in self._places else self._end
        try:
            self._file = self._file or _open()
            self._file.seek(start)
            self._file.write(flat.numpy().data)
        except OSError as error:
            raise BadInput(
                f"what passes between the parts of the model does not fit into {cache_folder()} "
                f"({(error.strerror or str(error)).lower()}): set SDK_CACHE to a folder with more room"
            ) from error
        self._places[key] = (start, tensor.dtype, tuple(tensor.shape))
        self._end = max(self._end, start + flat.numel())

    def add(self, key: Hashable, tensor: Any) -> None:
        """Add to what is there; nothing is like zero."""
        self[key] = self[key] + tensor if key in self else tensor


def _open() -> IO[bytes]:
    """A file beside the cache, or with the system's temporary ones where that cannot be written; a short one stays in memory."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return tempfile.SpooledTemporaryFile(SHORT)
    return tempfile.SpooledTemporaryFile(SHORT, dir=str(folder) if os.access(folder, os.W_OK) else None)
