"""6-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut6",
    bits=6,
    format="lut",
    granularity="tensor",
    summary="6-bit palette, one table per tensor",
)
