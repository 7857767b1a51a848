"""4-bit symmetric weights in groups of 128, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g128",
    bits=4,
    format="int",
    granularity="group",
    group=128,
    summary="4-bit symmetric weights in groups of 128, float activations",
)
