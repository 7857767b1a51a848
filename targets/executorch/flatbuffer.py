"""Reads flatbuffer tables from bytes, with every offset checked against the buffer."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sdk.errors import CheckFailed

T = TypeVar("T")


def unpack(data: memoryview, at: int, form: str) -> Any:
    """Return the little-endian value of struct format `form` at byte `at`; CheckFailed when it is outside."""
    size = struct.calcsize("<" + form)
    if at < 0 or at + size > len(data):
        raise CheckFailed(f"the file is damaged: a value at byte {at} is outside its {len(data)} bytes")
    return struct.unpack_from("<" + form, data, at)[0]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: fields by their position in the schema (a union takes two: its type, then its value)."""

    data: memoryview
    at: int

    def scalar(self, field: int, form: str, default: Any = 0) -> Any:
        """The number in `field`, of struct format `form`."""
        place = self.place(field)
        return default if place is None else unpack(self.data, place, form)

    def table(self, field: int) -> Table | None:
        """The table that `field` refers to."""
        place = self.place(field)
        return None if place is None else Table(self.data, place + unpack(self.data, place, "I"))

    def string(self, field: int) -> str:
        """The text in `field`, empty when absent."""
        place = self.place(field)
        if place is None:
            return ""
        start = place + int(unpack(self.data, place, "I"))
        length = unpack(self.data, start, "I")
        return bytes(self.data[start + 4 : start + 4 + length]).decode("utf-8", "replace")

    def scalars(self, field: int, form: str) -> list[Any]:
        """The vector of numbers in `field`."""
        size = struct.calcsize("<" + form)
        return self._vector(field, size, lambda at: unpack(self.data, at, form))

    def tables(self, field: int) -> list[Table]:
        """The vector of tables in `field`."""
        return self._vector(field, 4, lambda at: Table(self.data, at + unpack(self.data, at, "I")))

    def _vector(self, field: int, size: int, read: Callable[[int], T]) -> list[T]:
        place = self.place(field)
        if place is None:
            return []
        start = place + unpack(self.data, place, "I")
        count = unpack(self.data, start, "I")
        if start + 4 + count * size > len(self.data):
            raise CheckFailed(f"the file is damaged: a vector at byte {start} is longer than the file")
        return [read(start + 4 + size * i) for i in range(count)]

    def place(self, field: int) -> int | None:
        """Byte of a field's value, None when the table leaves it at its default."""
        layout = self.at - unpack(self.data, self.at, "i")
        if 4 + 2 * field >= unpack(self.data, layout, "H"):
            return None
        offset = unpack(self.data, layout + 4 + 2 * field, "H")
        return self.at + offset if offset else None


def root(data: memoryview, start: int = 0) -> Table:
    """The root table of the flatbuffer at byte `start`."""
    return Table(data, start + unpack(data, start, "I"))
