"""2-bit symmetric weights per output channel, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int2_channel_dynamic",
    bits=2,
    format="int",
    granularity="channel",
    activations="dynamic",
    summary="2-bit symmetric weights per output channel, 8-bit dynamic activations",
)
