"""2-bit palette, one table per tensor, one scale per 128 inputs."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut2_g128",
    bits=2,
    format="lut",
    granularity="tensor",
    scale_group=128,
    summary="2-bit palette, one table per tensor, one scale per 128 inputs",
)
