"""32-bit float weights."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="fp32",
    bits=32,
    format="float",
    summary="32-bit float weights",
)
