"""8-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut8_scaled",
    bits=8,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="8-bit palette, one table per tensor, one scale per output channel",
)
