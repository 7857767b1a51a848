"""6-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut6_scaled",
    bits=6,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="6-bit palette, one table per tensor, one scale per output channel",
)
