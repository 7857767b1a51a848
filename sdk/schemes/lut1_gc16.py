"""1-bit palettes, one table per 16 output channels."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut1_gc16",
    bits=1,
    format="lut",
    granularity="group",
    group=16,
    summary="1-bit palettes, one table per 16 output channels",
)
