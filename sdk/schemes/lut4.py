"""4-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut4",
    bits=4,
    format="lut",
    granularity="tensor",
    summary="4-bit palette, one table per tensor",
)
