"""4-bit symmetric weights in groups of 128, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g128_dynamic",
    bits=4,
    format="int",
    granularity="group",
    group=128,
    activations="dynamic",
    summary="4-bit symmetric weights in groups of 128, 8-bit dynamic activations",
)
