"""8-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut8",
    bits=8,
    format="lut",
    granularity="tensor",
    summary="8-bit palette, one table per tensor",
)
