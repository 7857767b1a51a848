"""Ed25519 keys as PEM files, and the name by which a signature says which key made it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdk.errors import BadInput, Missing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_LARGEST = 100_000
_MAKE = "`openssl genpkey -algorithm ed25519 -out key.pem` makes one"
_EXPORT = "`openssl pkey -in key.pem -pubout -out key.pub.pem` writes it"


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the private key that signs, PKCS #8 in PEM without a passphrase; BadInput names the mend."""
    text = _pem(path)
    serialization = _serialization()
    if b"PUBLIC KEY" in text:
        raise BadInput(f"{path}: is a public key: sign with the private one")
    if b"ENCRYPTED" in text:
        raise BadInput(f"{path}: has a passphrase: decrypt it with `openssl pkey -in {path.name} -out …` into a safe place")
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except Exception as error:
        raise BadInput(f"{path}: is no private key ({_short(error)}): {_MAKE}") from None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path}: is not an ed25519 key: {_MAKE}")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read the public key that signatures are checked with, in PEM; BadInput names the mend."""
    text = _pem(path)
    serialization = _serialization()
    if b"PRIVATE KEY" in text:
        raise BadInput(f"{path}: is a private key: verify with the public one; {_EXPORT}")
    try:
        key = serialization.load_pem_public_key(text)
    except Exception as error:
        raise BadInput(f"{path}: is no public key ({_short(error)}): {_EXPORT}") from None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{path}: is not an ed25519 key: {_MAKE}")
    return key


def key_name(key: Ed25519PublicKey) -> str:
    """Return the sha256 of the public key (SubjectPublicKeyInfo, DER), in hexadecimal."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise Missing("cryptography is not installed: pip install 'snugfit[evidence]'") from None
    return serialization


def _pem(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise BadInput(f"{path}: there is no such key file: {_MAKE}")
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a file name").lower()
        raise BadInput(f"{path}: cannot be read ({reason}): name a readable PEM file") from None


def _short(error: Exception) -> str:
    return str(error).partition(".")[0][:80].lower()
