"""Tensors of a safetensors file that are read one by one, when somebody asks for them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class Shelf:
    """An open file, which can be read even after the cache has evicted it; nothing that was read is held."""

    def __init__(self, path: Path) -> None:
        """Read what is where; OSError or ValueError when that fails."""
        self._file = path.open("rb")
        size = int.from_bytes(self._file.read(8), "little")
        self._places: dict[str, Any] = json.loads(self._file.read(size))
        self._base = 8 + size

    @property
    def names(self) -> list[str]:
        """Names of the tensors."""
        return [name for name in self._places if name != "__metadata__"]

    def __getitem__(self, name: str) -> Any:
        import torch

        place = self._places[name]
        start, stop = place["data_offsets"]
        dtype = {"F32": torch.float32, "BF16": torch.bfloat16}[place["dtype"]]
        if start == stop:
            return torch.empty(place["shape"], dtype=dtype)
        content = bytearray(stop - start)
        with memoryview(content) as view:
            done = 0
            while done < len(view):
                count = os.preadv(self._file.fileno(), [view[done:]], self._base + start + done)
                if count == 0:
                    raise OSError(f"{self._file.name} is cut short")
                done += count
        return torch.frombuffer(content, dtype=dtype).reshape(place["shape"])


class Shelved(Mapping[str, Any]):
    """A mapping whose values are made of a shelf's tensors each time that they are asked for."""

    def __init__(self, names: Mapping[str, str], make: Callable[[str], Any]) -> None:
        """`names`: key → what `make` is to be asked for."""
        self._names, self._make = names, make

    def __getitem__(self, key: str) -> Any:
        return self._make(self._names[key])

    def __contains__(self, key: object) -> bool:
        return key in self._names  # without reading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Joined(Mapping[str, Any]):
    """Mappings without a common key, seen as one."""

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        self._owners = {key: part for part in parts for key in part}

    def __getitem__(self, key: str) -> Any:
        return self._owners[key][key]

    def __contains__(self, key: object) -> bool:
        return key in self._owners

    def __iter__(self) -> Iterator[str]:
        return iter(self._owners)

    def __len__(self) -> int:
        return len(self._owners)
