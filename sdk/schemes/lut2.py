"""2-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut2",
    bits=2,
    format="lut",
    granularity="tensor",
    summary="2-bit palette, one table per tensor",
)
