"""2-bit symmetric weights in groups of 32, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int2_g32",
    bits=2,
    format="int",
    granularity="group",
    group=32,
    summary="2-bit symmetric weights in groups of 32, float activations",
)
