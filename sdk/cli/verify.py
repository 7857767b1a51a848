"""`sdk verify`: is a bundle or a fleet still what was written, what was signed, and no older release?"""

from __future__ import annotations

from pathlib import Path

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--key", type=click.Path(), metavar="FILE", help="Public ed25519 key, PEM: the bundle must be signed by it.")
@click.option("--newer-than", type=click.IntRange(0), metavar="N", help="With --key: it must be signed as a later release.")
@json_option
def COMMAND(bundle: str, key: str | None, newer_than: int | None, as_json: bool) -> int:
    """Check BUNDLE (a directory, a zip of one, or a fleet): hashes, the manifest's seal, every layer's scheme in the
    artifact's bytes, a recorded run, and with --key who signed it.

    \b
      sdk verify dist/net-pixel8-executorch
      sdk verify dist/net-pixel8-executorch --key key.pub.pem
      sdk verify dist/net-pixel8-executorch --key key.pub.pem --newer-than 41
      sdk verify dist/net-fleet
    """
    from sdk.bundles import bundle_folder
    from sdk.cli.findings import show_findings
    from sdk.cli.output import toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.errors import BadInput
    from sdk.release.evidence import read_public_key, verify_signed
    from sdk.release.fleet import is_fleet, verify_fleet

    if newer_than is not None and key is None:
        raise BadInput("--newer-than: only a signature vouches for the number of a release: add --key FILE")
    public = read_public_key(Path(key)) if key else None
    with toolchains_on_stderr(), bundle_folder(Path(bundle)) as folder:
        verify = verify_fleet if is_fleet(folder) else verify_signed
        findings = verify(folder, public, reporter(as_json), newer_than)
    return show_findings(("bundle", bundle), findings, "checked", as_json)
