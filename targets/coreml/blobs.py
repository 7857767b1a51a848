"""The weights file of an ML program: how its blobs are laid out, written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdk.errors import CheckFailed

ALIGNMENT = 64
"""Every blob's metadata and data start at multiples of this many bytes; the file's header has as many."""

SENTINEL = 0xDEADBEEF

CHUNK = 1 << 22
"""Codes unpacked at once, a multiple of 8."""

WIDTHS = {
    "float16": 16, "float32": 32, "uint8": 8, "int8": 8, "int16": 16, "uint16": 16, "int4": 4, "uint1": 1,
    "uint2": 2, "uint4": 4, "uint3": 3, "uint6": 6, "int32": 32, "uint32": 32,
}
"""Bits of one element by data type."""

KINDS = {
    1: "float16", 2: "float32", 3: "uint8", 4: "int8", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1", 10: "uint2",
    11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32",
}
"""Data type by its number in a blob's metadata."""

_WRITERS = {"float32": "write_float_data", "float16": "write_fp16_data"}


def stored_bytes(dtype: str, count: int) -> int:
    """Bytes that a blob of `count` elements takes in the file, metadata and padding included."""
    data = (WIDTHS[dtype] * count + 7) // 8
    return ALIGNMENT + (data + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


class BlobFile:
    """Writes blobs through coremltools' own storage writer."""

    def __init__(self, path: Path) -> None:
        from coremltools.libmilstoragepython import _BlobStorageWriter

        self._writer = _BlobStorageWriter(str(path))

    def write(self, values: Any, dtype: str) -> int:
        """Append an array (int8/uint8 holds sub-byte codes) and return the offset that refers to it."""
        import numpy as np

        flat = np.ascontiguousarray(values).reshape(-1)
        if dtype == "float16":
            flat = flat.astype(np.float16).view(np.uint16)
        write = getattr(self._writer, _WRITERS.get(dtype, f"write_{dtype}_data"))
        return int(write(flat))


class BlobReader:
    """Reads blobs with every bound checked: a corrupt file is a CheckFailed, never a crash."""

    def __init__(self, path: Path) -> None:
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise CheckFailed(f"{path.name}: the weights file cannot be read: {error.strerror}") from error

    def read(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Any:
        """Return the blob whose metadata is at `offset`, as numpy in `shape`; sub-byte codes one per element."""
        import numpy as np

        raw, bits = self._raw(offset, dtype), WIDTHS[dtype]
        count = int(np.prod(shape, dtype=np.int64))
        if len(raw) != (count * bits + 7) // 8:
            raise CheckFailed(f"weights file: the blob at {offset} has {len(raw)} bytes, its tensor {list(shape)} needs "
                              f"{(count * bits + 7) // 8}")
        if bits >= 8:
            return np.frombuffer(raw, dtype).reshape(shape)
        return unpack(raw, bits, count, dtype.startswith("int")).reshape(shape)

    def _raw(self, offset: int, dtype: str) -> bytes:
        import struct

        if offset < 0 or offset % ALIGNMENT or offset + ALIGNMENT > len(self._data):
            raise CheckFailed(f"weights file: there is no blob at {offset} in {len(self._data)} bytes")
        sentinel, kind, size, start = struct.unpack_from("<IIQQ", self._data, offset)
        if sentinel != SENTINEL or KINDS.get(kind) != dtype:
            raise CheckFailed(f"weights file: the blob at {offset} is not a {dtype} blob")
        if start % ALIGNMENT or start + size > len(self._data):
            raise CheckFailed(f"weights file: the blob at {offset} runs past the end of the file")
        return self._data[start:start + size]


def unpack(raw: bytes, bits: int, count: int, signed: bool) -> Any:
    """Unpack `count` little-endian bit fields of `bits` bits into int8 or uint8."""
    import numpy as np

    codes = np.empty(count, np.uint8)
    packed = np.frombuffer(raw, np.uint8)
    for start in range(0, count, CHUNK):  # a byte for every bit on the way
        part = min(CHUNK, count - start)
        fields = np.unpackbits(packed[start * bits // 8 :], count=part * bits, bitorder="little").reshape(part, bits)
        codes[start : start + part] = np.packbits(fields, axis=1, bitorder="little").reshape(-1)
    if not signed:
        return codes
    half = 1 << (bits - 1)
    return ((codes.astype(np.int16) ^ half) - half).astype(np.int8)


def pack(codes: Any, bits: int) -> Any:
    """Pack codes into little-endian bit fields (uint8)."""
    import numpy as np

    fields = np.unpackbits(np.ascontiguousarray(codes).reshape(-1, 1).view(np.uint8), axis=1, bitorder="little")[:, :bits]
    return np.packbits(fields.reshape(-1), bitorder="little")
