"""Packs integer codes of any width into bytes and back, eight codes of b bits into b bytes."""

from __future__ import annotations

from math import prod
from typing import Any


def packed_bytes(shape: tuple[int, ...], bits: int) -> int:
    """Return the bytes that codes of `shape` take at `bits` bits each, rounded up once at the end."""
    return (prod(shape) * bits + 7) // 8


def pack(codes: Any, bits: int, signed: bool) -> bytes:
    """Return the codes (integer array, any shape) as a little-endian stream of `bits` bits each."""
    import numpy

    flat = numpy.asarray(codes).reshape(-1).astype(numpy.int16)
    unsigned = (flat + (1 << (bits - 1)) if signed else flat).astype(numpy.uint8)
    if bits == 8:
        return bytes(unsigned.tobytes())
    planes = numpy.unpackbits(unsigned[:, None], axis=1, count=bits, bitorder="little")
    return bytes(numpy.packbits(planes.reshape(-1), bitorder="little").tobytes())


def unpack(data: bytes, shape: tuple[int, ...], bits: int, signed: bool) -> Any:
    """Return the codes (int16 array of `shape`) that `pack` wrote."""
    import numpy

    raw = numpy.frombuffer(data, dtype=numpy.uint8)
    if bits == 8:
        unsigned = raw
    else:
        count = prod(shape)
        planes = numpy.unpackbits(raw, count=count * bits, bitorder="little").reshape(count, bits)
        unsigned = numpy.packbits(planes, axis=1, bitorder="little").reshape(-1)
    codes = unsigned.astype(numpy.int16)
    return (codes - (1 << (bits - 1)) if signed else codes).reshape(shape)
