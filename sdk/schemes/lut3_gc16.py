"""3-bit palettes, one table per 16 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut3_gc16",
    bits=3,
    format="lut",
    granularity="group",
    group=16,
    summary="3-bit palettes, one table per 16 output channels",
)
