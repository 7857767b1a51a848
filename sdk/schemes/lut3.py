"""3-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut3",
    bits=3,
    format="lut",
    granularity="tensor",
    summary="3-bit palette, one table per tensor",
)
