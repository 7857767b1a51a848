"""`sdk verify`: is a bundle still the one that was written?"""

from __future__ import annotations

from pathlib import Path

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("bundle", type=click.Path())
@json_option
def COMMAND(bundle: str, as_json: bool) -> int:
    """Check BUNDLE: hashes, the manifest's seal, every layer's scheme in the artifact's bytes, and a recorded run.

    \b
      sdk verify dist/net-pixel8-executorch
    """
    from sdk.cli.output import print_json, print_table, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.pipeline import verify_bundle

    with toolchains_on_stderr():
        findings = verify_bundle(Path(bundle), reporter(as_json))
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
