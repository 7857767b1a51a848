"""4-bit palettes, one table per 16 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut4_gc16",
    bits=4,
    format="lut",
    granularity="group",
    group=16,
    summary="4-bit palettes, one table per 16 output channels",
)
