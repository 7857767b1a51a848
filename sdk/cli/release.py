"""`sdk release`: what the stores take, made from bundles or a fleet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sdk.cli.options import json_option


@click.group()
def COMMAND() -> None:
    """Make what Google Play or the App Store takes from bundles or from a fleet, and check it by their rules.

    \b
      sdk release android dist/net-pixel8-tflite --out play
      sdk release android dist/fleet --out play --delivery fast-follow
      sdk release ios dist/net-iphone15pro-coreml --out appstore
      sdk release check play
    """


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        json_option,
        click.option("--key", type=click.Path(), metavar="FILE", help="Public key: every bundle must be signed by it."),
        click.option(
            "--profile", "profiles", multiple=True, type=click.Path(), metavar="FILE", help="A device that is not shipped."
        ),
        click.option("--pack", metavar="NAME", help="Name of the pack or package; by default the model's."),
        click.option("--out", "-o", required=True, type=click.Path(), metavar="DIR", help="The release's directory."),
        click.argument("bundles", nargs=-1, required=True, type=click.Path(), metavar="BUNDLE..."),
    ):
        command = decorate(command)
    return command


@COMMAND.command()
@_shared
@click.option("--delivery", default="install-time", metavar="TYPE", help="install-time, fast-follow or on-demand.")
@click.option("--fallback", metavar="VARIANT", help="What phones of no device group get; by default an empty pack.")
@click.option("--form", "forms", multiple=True, metavar="FORM", help="ai-pack or aar; by default both.")
def android(bundles: tuple[str, ...], out: str, forms: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Write AI packs with device targeting, and an AAR of assets alone, for Google Play."""
    from sdk.release.store.android.release import FORMS, SYSTEMS, release_android

    source = _source(bundles, SYSTEMS, flags)
    words = {name: flags[name] for name in ("delivery", "fallback", "pack")}
    record = release_android(source, Path(out), forms=_chosen(forms, FORMS), **words)
    _show(out, record, as_json)


@COMMAND.command()
@_shared
@click.option("--delivery", metavar="TYPE", help="essential, prefetch or on-demand.")
@click.option("--form", "forms", multiple=True, metavar="FORM", help="swift or assets; by default both.")
def ios(bundles: tuple[str, ...], out: str, forms: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Write a Swift package and manifests for Apple-hosted asset packs (Background Assets)."""
    from sdk.release.store.ios.release import FORMS, SYSTEMS, release_ios

    source = _source(bundles, SYSTEMS, flags)
    words = {name: flags[name] for name in ("delivery", "pack")}
    record = release_ios(source, Path(out), forms=_chosen(forms, FORMS), **words)
    _show(out, record, as_json)


@COMMAND.command()
@click.argument("folder", type=click.Path())
@json_option
def check(folder: str, as_json: bool) -> int:
    """Check the release in FOLDER by its store's published rules."""
    from sdk.cli.findings import show_findings
    from sdk.release.store import check_release

    return show_findings(("release", folder), check_release(Path(folder)), "rule", as_json)


def _source(bundles: tuple[str, ...], systems: frozenset[str], flags: dict[str, Any]) -> Any:
    from sdk.release.evidence import read_public_key
    from sdk.release.store import gather

    key = read_public_key(Path(flags["key"])) if flags["key"] else None
    return gather([Path(each) for each in bundles], systems, [Path(each) for each in flags["profiles"]], key)


def _chosen(forms: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    from sdk.errors import BadInput

    given = {part.strip() for each in forms for part in each.split(",") if part.strip()}
    for form in sorted(given - set(known)):
        raise BadInput(f"--form: {form!r} is unknown: it is {' or '.join(known)}")
    return tuple(form for form in known if form in given) or known


def _show(out: str, record: Any, as_json: bool) -> None:
    from sdk.cli.findings import listed, print_findings
    from sdk.cli.output import print_json, print_table
    from sdk.release.store import check_release, read_record
    from sdk.units import format_size

    whole, findings = read_record(Path(out)), check_release(Path(out))
    if as_json:
        print_json({"path": out, "release": whole.model_dump(mode="json"), "findings": listed(findings)})
        return
    rows = [(v.id, v.target, v.artifact, format_size(v.bytes), ", ".join(v.devices)) for v in record.variants]
    print_table(("variant", "target", "artifact", "size", "devices"), rows, "", "size")
    click.echo()
    print_findings(findings, "rule")
    click.echo(f"\nwrote {out}: {len(whole.files)} files")
