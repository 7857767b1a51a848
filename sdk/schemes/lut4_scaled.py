"""4-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut4_scaled",
    bits=4,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="4-bit palette, one table per tensor, one scale per output channel",
)
