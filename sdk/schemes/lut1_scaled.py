"""1-bit palette, one table per tensor, one scale per output channel."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut1_scaled",
    bits=1,
    format="lut",
    granularity="tensor",
    channel_scale=True,
    summary="1-bit palette, one table per tensor, one scale per output channel",
)
