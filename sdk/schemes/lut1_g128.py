"""1-bit palette, one table per tensor, one scale per 128 inputs."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="lut1_g128",
    bits=1,
    format="lut",
    granularity="tensor",
    scale_group=128,
    summary="1-bit palette, one table per tensor, one scale per 128 inputs",
)
