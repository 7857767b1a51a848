"""4-bit symmetric weights per output channel, calibrated 8-bit activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_channel_static",
    bits=4,
    format="int",
    granularity="channel",
    activations="static",
    summary="4-bit symmetric weights per output channel, calibrated 8-bit activations",
)
