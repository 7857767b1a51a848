"""8-bit symmetric weights, one scale per output channel, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int8_channel",
    bits=8,
    format="int",
    granularity="channel",
    summary="8-bit symmetric weights, one scale per output channel, float activations",
)
