"""4-bit palette, one table per tensor, one scale per 32 inputs."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut4_g32",
    bits=4,
    format="lut",
    granularity="tensor",
    scale_group=32,
    summary="4-bit palette, one table per tensor, one scale per 32 inputs",
)
