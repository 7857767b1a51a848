"""What a probe measured of a device's kernels: the times that predictions of latency are made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Nanoseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=1, le=64)]
Text = Annotated[str, Field(strict=True, min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kernel(_Frozen):
    """The time of one kernel call: `ns` per multiply-accumulate, element written, element read, weight, and call.

    `kind`: a layer's kernel kind or an operator, `scheme` the layer's (empty: floats). `tile`: positions, output channels and
    inputs per channel are computed in multiples of these. `outside`: the runtime computes it itself, not in its accelerated
    part.
    """

    kind: Text
    scheme: str = ""
    tile: tuple[Size, Size, Size] = (1, 1, 1)
    ns: tuple[Nanoseconds, Nanoseconds, Nanoseconds, Nanoseconds, Nanoseconds]
    outside: bool = False


class Kernels(_Frozen):
    """The kernels of one runtime on one device, and where they were measured (`origin`).

    `stream`: (bytes of all packed weights of a model, ns per byte of weights) from small to large: beyond the caches every
    inference reads its weights from memory. `tail`: p90 over p50 of the probe's runs. `error`: relative differences
    (measured / predicted - 1) of which nine in ten lay inside.
    """

    runtime: Text
    origin: Text
    tail: Annotated[float, Field(ge=1, le=10)]
    error: tuple[float, float]
    stream: tuple[tuple[Annotated[int, Field(ge=1)], Nanoseconds], ...] = ()
    rows: tuple[Kernel, ...]
