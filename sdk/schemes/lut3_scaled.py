"""3-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut3_scaled",
    bits=3,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="3-bit palette, one table per tensor, one scale per output channel",
)
