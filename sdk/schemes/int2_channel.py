"""2-bit symmetric weights, one scale per output channel, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int2_channel",
    bits=2,
    format="int",
    granularity="channel",
    summary="2-bit symmetric weights, one scale per output channel, float activations",
)
