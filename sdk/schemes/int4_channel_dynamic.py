"""4-bit symmetric weights per output channel, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_channel_dynamic",
    bits=4,
    format="int",
    granularity="channel",
    activations="dynamic",
    summary="4-bit symmetric weights per output channel, 8-bit dynamic activations",
)
