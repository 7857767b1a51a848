"""4-bit symmetric weights in groups of 256, 8-bit dynamic activations."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="int4_g256_dynamic",
    bits=4,
    format="int",
    granularity="group",
    group=256,
    activations="dynamic",
    summary="4-bit symmetric weights in groups of 256, 8-bit dynamic activations",
)
