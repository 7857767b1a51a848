"""The signed envelope: DSSE 1.0 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md), on one line.

An envelope has exactly one spelling: what does not read back to the same bytes is refused, so that no byte of the file
can be changed without being found.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from sdk.errors import CheckFailed
from sdk.release.evidence.keys import key_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def seal_statement(statement: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return the envelope of `statement`, signed with `key`: one line of JSON; the same input gives the same bytes."""
    payload = canonical(statement)
    signature = {"keyid": key_name(key.public_key()), "sig": _base64(key.sign(_encoded(payload)))}
    return canonical({"payload": _base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [signature]}) + b"\n"


def read_envelope(raw: bytes) -> tuple[dict[str, Any], bytes, str, bytes]:
    """Return (statement, payload, key name, signature); CheckFailed when `raw` is not spelled as `seal_statement` does."""
    try:
        data = json.loads(raw)
        ((signature,), payload) = data["signatures"], base64.b64decode(data["payload"], validate=True)
        name, sealed = str(signature["keyid"]), base64.b64decode(signature["sig"], validate=True)
        statement = json.loads(payload)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        raise CheckFailed("is not a signed statement that this sdk wrote: it was changed, or sign again") from None
    again = {"payload": _base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [{"keyid": name, "sig": _base64(sealed)}]}
    if canonical(again) + b"\n" != raw or not isinstance(statement, dict) or canonical(statement) != payload:
        raise CheckFailed("was changed after it was signed (it is not in its one spelling)")
    return statement, payload, name, sealed


def signed_by(payload: bytes, name: str, signature: bytes, key: Ed25519PublicKey) -> None:
    """Raise CheckFailed unless `signature` is that of `key` over `payload`."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _encoded(payload))
    except InvalidSignature:
        other = name != key_name(key)
        raise CheckFailed(
            f"another key signed it ({name[:12]}, not {key_name(key)[:12]})" if other else "was changed after it was signed"
        ) from None
    if name != key_name(key):
        raise CheckFailed("names another key than the one that signed it: it was changed after it was signed")


def canonical(data: Any) -> bytes:
    """Return `data` as the one JSON text that has sorted keys and no blanks, in UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _encoded(payload: bytes) -> bytes:
    """The pre-authentication encoding of DSSE."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
