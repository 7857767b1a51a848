"""3-bit palettes, one table per 4 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut3_gc4",
    bits=3,
    format="lut",
    granularity="group",
    group=4,
    summary="3-bit palettes, one table per 4 output channels",
)
