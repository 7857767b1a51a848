"""`sdk sign`: evidence and a signature for a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--key", required=True, type=click.Path(), metavar="FILE", help="Private ed25519 key, PEM (PKCS #8).")
@click.option("--release", type=click.IntRange(0), metavar="N", help="Number of this release, higher every time.")
@json_option
def COMMAND(bundle: str, key: str, release: int | None, as_json: bool) -> int:
    """Verify BUNDLE, then write its bill of materials (CycloneDX) and its signed provenance (in-toto, SLSA) into it.

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

    private = read_private_key(Path(key))
    with toolchains_on_stderr():
        bad = [found for found in verify_bundle(Path(bundle), reporter(as_json)) if not found.ok]
    if bad:
        raise CheckFailed(f"{bundle}: {bad[0].what}: {bad[0].detail}: not signed")
    signed = sign_bundle(Path(bundle), private, release)
    name = key_name(private.public_key())
    if as_json:
        print_json({"bundle": bundle, "key": name, "written": list(EVIDENCE), "artifact": signed.manifest.artifact.sha256})
    else:
        print_facts([("signed", bundle), ("key", name), ("written", ", ".join(EVIDENCE))])
    return 0
