"""8-bit symmetric weights per output channel, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int8_channel_dynamic",
    bits=8,
    format="int",
    granularity="channel",
    activations="dynamic",
    summary="8-bit symmetric weights per output channel, 8-bit dynamic activations",
)
