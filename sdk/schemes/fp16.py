"""16-bit float weights."""

from sdk.schemes.scheme import Scheme

SCHEME = Scheme(
    name="fp16",
    bits=16,
    format="float",
    summary="16-bit float weights",
)
