"""How people write a number of bytes, and how it is shown to them."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite

from sdk.errors import BadInput

_UNITS = {
    "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_SPELLINGS = {unit.lower(): unit for unit in _UNITS} | {"k": "kB", "m": "MB", "g": "GB", "t": "TB"}
_SIZE = re.compile(r"(?P<number>\d+(?:_\d+)*(?:\.\d+)?)[ ]?(?P<unit>[A-Za-z]*)", re.ASCII)
_LEAST_BARE = 1024
_MOST = 2**63 - 1


def parse_size(text: str | int | float) -> int:
    """Return the bytes that `text` means: `12MB` (decimal), `12MiB` (binary), `12_000_000` or an int.

    Raises BadInput, saying what to write, where a reader could take it two ways: no unit and below 1024,
    `12M`, `12Mb`, a decimal comma; and for what is no size: negative, zero, nan, inf, part of a byte.
    """
    if isinstance(text, str):
        return _parse(text.strip())
    if isinstance(text, bool) or not isinstance(text, int | float):
        raise BadInput(f"size {text!r} is not a number of bytes: write one such as 12MB, 12MiB or 12_000_000")
    if not isfinite(text) or text != int(text):
        raise BadInput(f"size {text!r} is not a whole number of bytes: write one such as 12_000_000 or 12MB")
    return _checked(int(text), text, bare=True)


def _parse(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BadInput(f"size {text[:40]!r} cannot be read: write one such as 12MB, 1.5MiB or 12_000_000")
    number, unit = match["number"], match["unit"]
    if unit not in _UNITS and unit:
        raise BadInput(f"size {text[:40]!r} has {_objection(unit, number)}")
    value = Decimal(number) * _UNITS.get(unit, 1)
    if value != value.to_integral_value():
        raise BadInput(f"size {text[:40]!r} is not a whole number of bytes: write {_nearest(value)}")
    return _checked(int(value), text[:40], bare=not unit)


def _nearest(value: Decimal) -> str:
    """What to write instead of a part of a byte; of less than one, nothing that is near it is a size."""
    return f"{int(value)}B" if value > 1 else "1B or more, such as 12MB"


def _objection(unit: str, number: str) -> str:
    meant = _SPELLINGS.get(unit.lower())
    if meant is None:
        return f"an unknown unit {unit[:12]!r}: use B, kB, MB, GB (decimal) or KiB, MiB, GiB (binary)"
    binary = meant if "i" in meant else meant[0].upper() + "iB"
    decimal = meant.replace("i", "")
    return f"an ambiguous unit {unit!r}: write {number}{decimal} (decimal) or {number}{binary} (binary)"


def _checked(size: int, text: object, *, bare: bool) -> int:
    if size <= 0:
        raise BadInput(f"size {text!r} is not above zero: write one such as 12MB")
    if bare and size < _LEAST_BARE:
        raise BadInput(f"size {text!r} has no unit: write {size}MB, {size}MiB or {size}B")
    if size > _MOST:
        raise BadInput(f"size {text!r} is more than any file can hold: write one such as 12MB")
    return size


def format_size(size: int) -> str:
    """Show `size` bytes in decimal units with three significant digits or more, such as `4.95 MB`."""
    sign, rest = ("-", -size) if size < 0 else ("", size)
    if rest < 1000:
        return f"{sign}{rest} B"
    value = float(rest)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{sign}{value:.{digits}f} {unit}"
