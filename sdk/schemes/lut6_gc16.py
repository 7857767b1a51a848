"""6-bit palettes, one table per 16 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut6_gc16",
    bits=6,
    format="lut",
    granularity="group",
    group=16,
    summary="6-bit palettes, one table per 16 output channels",
)
