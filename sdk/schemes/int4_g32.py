"""4-bit symmetric weights in groups of 32, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g32",
    bits=4,
    format="int",
    granularity="group",
    group=32,
    summary="4-bit symmetric weights in groups of 32, float activations",
)
