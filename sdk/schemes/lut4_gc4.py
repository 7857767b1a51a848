"""4-bit palettes, one table per 4 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut4_gc4",
    bits=4,
    format="lut",
    granularity="group",
    group=4,
    summary="4-bit palettes, one table per 4 output channels",
)
