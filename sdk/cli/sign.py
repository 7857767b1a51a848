"""`sdk sign`: evidence and a signature for a bundle or a fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.bundles import Finding


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--key", required=True, type=click.Path(), metavar="FILE", help="Private ed25519 key, PEM (PKCS #8).")
@click.option("--release", type=click.IntRange(0), metavar="N", help="Number of this release, higher every time.")
@json_option
def COMMAND(bundle: str, key: str, release: int | None, as_json: bool) -> int:
    """Verify BUNDLE, then write its bill of materials (CycloneDX) and its signed provenance (in-toto, SLSA) into it.

    A fleet is signed with all of its variants.

    \b
      openssl genpkey -algorithm ed25519 -out key.pem
      openssl pkey -in key.pem -pubout -out key.pub.pem
      sdk sign dist/net-pixel8-tflite --key key.pem --release 42
      sdk verify dist/net-pixel8-tflite --key key.pub.pem
    """
    from sdk.bundles import EVIDENCE
    from sdk.cli.output import print_facts, print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.errors import CheckFailed
    from sdk.pipeline import verify_bundle
    from sdk.release.evidence import read_private_key, sign_bundle
    from sdk.release.evidence.keys import key_name
    from sdk.release.fleet import is_fleet, sign_fleet

    private = read_private_key(Path(key))
    path, report = Path(bundle), reporter(as_json)
    with toolchains_on_stderr():
        found = _checked(path, lambda folder: verify_bundle(folder, report))
    bad = [each for each in found if not each.ok]
    if bad:
        raise CheckFailed(f"{bundle}: {bad[0].what}: {bad[0].detail}: not signed")
    name = key_name(private.public_key())
    if is_fleet(path):
        artifacts = {each.id: each.sha256 for each in sign_fleet(path, private, release).variants}
    else:
        artifacts = {path.name: sign_bundle(path, private, release).manifest.artifact.sha256}
    if as_json:
        print_json({"bundle": bundle, "key": name, "release": release, "written": list(EVIDENCE), "artifacts": artifacts})
    else:
        print_facts([("signed", bundle), ("key", name), ("written", ", ".join(EVIDENCE))])
    return 0


def _checked(path: Path, verify: Callable[[Path], list[Finding]]) -> list[Finding]:
    """The bundle or fleet without its evidence, which is replaced."""
    from sdk.release.fleet import check_fleet, is_fleet, open_fleet

    return check_fleet(path, open_fleet(path), verify) if is_fleet(path) else verify(path)
