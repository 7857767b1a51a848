"""The stores' published limits, each with the page that states it, and what of them a release uses."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sdk.devices.profile import Bytes
from sdk.devices.reading import parse_model
from sdk.errors import CheckFailed
from sdk.units import format_size


class Limit(BaseModel):
    """One limit: `what` it is of, in `bytes` or as a `count`, and the page that states it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    bytes: Bytes | None = None
    count: Annotated[int, Field(strict=True, ge=1)] | None = None
    source: str

    @property
    def most(self) -> int:
        """The limit's number."""
        return self.bytes if self.bytes is not None else self.count or 0


class _Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: tuple[Limit, ...]


@cache
def limits() -> dict[str, Limit]:
    """Return every limit by name."""
    text = (files("sdk.release.store") / "limits.yaml").read_text("utf-8")
    return {limit.name: limit for limit in parse_model(text, _Limits, "sdk/release/store/limits.yaml").limits}


def check_limit(name: str, used: int, what: str) -> None:
    """Raise CheckFailed, naming the limit and its source, when `what` uses more than the limit called `name`."""
    limit = limits()[name]
    if used <= limit.most:
        return
    shown, most = (format_size(used), format_size(limit.most)) if limit.bytes is not None else (f"{used:,}", f"{limit.most:,}")
    raise CheckFailed(f"{what}: {shown} is over the limit of {most} for {limit.what} ({limit.source})")


def download_bytes(paths: Iterable[Path], most: int) -> int:
    """Return the bytes that `paths` are downloaded as: as they are when that is within `most`, else deflated.

    Play compresses what phones download; its own figure may differ a little from that of deflate.
    """
    paths = list(paths)
    plain = sum(path.stat().st_size for path in paths)
    return plain if plain <= most else sum(map(_deflated, paths))


def _deflated(path: Path) -> int:
    packer, size = zlib.compressobj(6), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            size += len(packer.compress(piece))
    return size + len(packer.flush())
