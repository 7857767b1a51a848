"""4-bit symmetric weights in groups of 32, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g32_dynamic",
    bits=4,
    format="int",
    granularity="group",
    group=32,
    activations="dynamic",
    summary="4-bit symmetric weights in groups of 32, 8-bit dynamic activations",
)
