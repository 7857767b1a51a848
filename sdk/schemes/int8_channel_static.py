"""8-bit symmetric weights per output channel, calibrated 8-bit activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int8_channel_static",
    bits=8,
    format="int",
    granularity="channel",
    activations="static",
    summary="8-bit symmetric weights per output channel, calibrated 8-bit activations",
)
