"""4-bit symmetric weights in groups of 64, float activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g64",
    bits=4,
    format="int",
    granularity="group",
    group=64,
    summary="4-bit symmetric weights in groups of 64, float activations",
)
