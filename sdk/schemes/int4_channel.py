"""4-bit symmetric weights, one scale per output channel, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_channel",
    bits=4,
    format="int",
    granularity="channel",
    summary="4-bit symmetric weights, one scale per output channel, float activations",
)
