"""1-bit palette, one table per tensor."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut1",
    bits=1,
    format="lut",
    granularity="tensor",
    summary="1-bit palette, one table per tensor",
)
