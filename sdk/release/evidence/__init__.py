"""Evidence that can be audited: a bill of materials, and a signed statement of what a bundle is and how it was made."""

from sdk.release.evidence.checking import check_evidence, verify_signed
from sdk.release.evidence.keys import read_private_key, read_public_key
from sdk.release.evidence.signing import sign_bundle

__all__ = ["check_evidence", "read_private_key", "read_public_key", "sign_bundle", "verify_signed"]
