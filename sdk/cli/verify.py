"""`sdk verify`: is a bundle still the one that was written, and the one that was signed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.bundles import Finding


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--key", type=click.Path(), metavar="FILE", help="Public ed25519 key, PEM: the bundle must be signed by it.")
@json_option
def COMMAND(bundle: str, key: str | None, as_json: bool) -> int:
    """Check BUNDLE (a directory, or a zip of one): hashes, the manifest's seal, every layer's scheme in the artifact's
    bytes, a recorded run, and with --key who signed it.

    \b
      sdk verify dist/net-pixel8-executorch
      sdk verify dist/net-pixel8-executorch --key key.pub.pem
    """
    from sdk.bundles import bundle_folder
    from sdk.cli.output import print_json, print_table, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.release.evidence import read_public_key

    public = read_public_key(Path(key)) if key else None
    with toolchains_on_stderr(), bundle_folder(Path(bundle)) as folder:
        findings = _findings(folder, public, reporter(as_json))
    bad = [found for found in findings if not found.ok]
    message = f"{bundle}: {bad[0].what}: {bad[0].detail}" if bad else ""
    if as_json:
        listed = [{"what": f.what, "ok": f.ok, "detail": f.detail} for f in findings]
        failure = {"error": message, "exit_code": 1} if bad else {}
        print_json({"bundle": bundle, "ok": not bad, "findings": listed, **failure})
    else:
        print_table(("checked", "verdict", "detail"), [(f.what, "ok" if f.ok else "FAILED", f.detail) for f in findings])
    if bad:
        click.echo(f"error: {message}", err=True)
    return 1 if bad else 0


def _findings(folder: Path, key: Any, report: Any) -> list[Finding]:
    """The evidence first: what is not signed as asked is not loaded."""
    from sdk.pipeline import verify_bundle
    from sdk.release.evidence import check_evidence

    signed = check_evidence(folder, key)
    if not all(found.ok for found in signed):
        return signed
    return [*signed, *verify_bundle(folder, report)]
