"""2-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut2_scaled",
    bits=2,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="2-bit palette, one table per tensor, one scale per output channel",
)
