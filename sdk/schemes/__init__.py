"""Quantization schemes as data: one file per scheme, found by its name."""

from sdk.schemes.catalogue import all_schemes, scheme_named
from sdk.schemes.scheme import Scheme, fits

__all__ = ["Scheme", "all_schemes", "fits", "scheme_named"]
