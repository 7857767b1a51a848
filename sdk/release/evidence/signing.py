"""Signs a bundle: its evidence is made beside a copy, and the copy takes its place in one step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.bundles import BOM, EVIDENCE, PROVENANCE, Bundle, contents, integrity, open_bundle, write_bundle
from sdk.errors import CheckFailed
from sdk.release.evidence.bom import bill_of_materials
from sdk.release.evidence.envelope import seal_statement
from sdk.release.evidence.statement import statement_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_bundle(path: Path, key: Ed25519PrivateKey, release: int | None = None) -> Bundle:
    """Write the BOM and the signed provenance of the bundle at `path` into it and return it; older evidence is replaced.

    `release` is a number that rises from release to release, so that an older bundle can be told (`sdk verify
    --newer-than`). The same bundle, key and number give the same bytes. CheckFailed when a hash or the seal of the bundle does
    not hold or a stranger file is there (nothing is signed); BadInput when it is no bundle or cannot be written.
    """
    bundle = open_bundle(path)
    for finding in integrity(path, bundle.manifest):
        if not finding.ok:
            raise CheckFailed(f"{path}: {finding.what}: {finding.detail}: not signed")
    write_bundle(path, lambda folder: _fill(folder, bundle, key, release))
    return open_bundle(path)


def _fill(folder: Path, bundle: Bundle, key: Ed25519PrivateKey, release: int | None) -> None:
    for name, source in contents(bundle.path).items():
        if name in EVIDENCE or name.startswith("."):
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    (folder / BOM).write_text(bill_of_materials(bundle.manifest), encoding="utf-8")
    (folder / PROVENANCE).write_bytes(seal_statement(statement_of(folder, bundle.manifest, release), key))
