"""2-bit palettes, one table per 16 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut2_gc16",
    bits=2,
    format="lut",
    granularity="group",
    group=16,
    summary="2-bit palettes, one table per 16 output channels",
)
