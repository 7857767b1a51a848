"""2-bit palettes, one table per 4 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut2_gc4",
    bits=2,
    format="lut",
    granularity="group",
    group=4,
    summary="2-bit palettes, one table per 4 output channels",
)
