"""8-bit symmetric weights in groups of 32, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int8_g32",
    bits=8,
    format="int",
    granularity="group",
    group=32,
    summary="8-bit symmetric weights in groups of 32, float activations",
)
