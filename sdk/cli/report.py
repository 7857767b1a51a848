"""`sdk report`: what was packaged, for people: a page, Markdown, or the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.report.data import Part, Report

_SUFFIXES = {".html": "html", ".htm": "html", ".md": "markdown"}
_MARKS = {"good": "ok", "bad": "NO", "open": "--"}


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(), metavar="BUNDLE...")
@click.option("--check", "checks", multiple=True, type=click.Path(), metavar="FILE", help="A result of `sdk check --out`.")
@click.option("--out", "-o", metavar="FILE", help="Write the report there: FILE.html or FILE.md.")
@click.option("--format", "form", type=click.Choice(["html", "markdown", "terminal"]), help="By default what --out ends with.")
@json_option
def COMMAND(bundles: tuple[str, ...], checks: tuple[str, ...], out: str | None, form: str | None, as_json: bool) -> None:
    """Report on one or more BUNDLEs: size, loss, latency, layers and front, every number with its origin.

    \b
      sdk report dist/net-pixel8-tflite --out report.html
      sdk report dist/* --check pixel.json --out report.html
      sdk report dist/net-pixel8-tflite --format markdown
    """
    from sdk.cli.output import print_json
    from sdk.files import write_whole
    from sdk.report import GENERATOR, build_report, check_place

    form = form or _form(out)
    if out is not None:
        check_place(Path(out), "--out", (GENERATOR,))
    report = build_report([Path(bundle) for bundle in bundles], [Path(check) for check in checks])
    text = _text(report, form)
    if out is not None:
        write_whole(Path(out), text)
    if as_json:
        print_json(report.as_data())
    elif out is not None:
        click.echo(f"written to {out} ({len(text.encode()):,} bytes)")
    elif form != "terminal":
        click.echo(text, nl=False)
    else:
        _show(report)


def _form(out: str | None) -> str:
    from sdk.errors import BadInput

    if out is None:
        return "terminal"
    suffix = Path(out).suffix.lower()
    if suffix not in _SUFFIXES:
        raise BadInput(f"--out {out}: ends with neither .html nor .md: name such a file, or give --format")
    return _SUFFIXES[suffix]


def _text(report: Report, form: str) -> str:
    from sdk.report import html, markdown

    if form == "terminal":
        return ""
    return html(report) if form == "html" else markdown(report)


def _show(report: Report) -> None:
    from sdk.cli.output import print_table

    for part in report.parts:
        click.echo(part.headline)
        for said in part.statements:
            click.echo(f"  {_MARKS[said.state]}  {said.text}" + (f" [{said.origin}]" if said.origin else ""))
        click.echo()
    rows = [_row(part) for part in report.parts]
    columns = ("device", "model", "runtime", "size", "budget", "loss", "metric", "p90", "relative error", "by")
    print_table(columns, rows, "Devices", "size budget loss metric p90")
    for part in report.parts:
        click.echo()
        shares = [(k.kind, k.layers, f"{k.bytes:,}", f"{100 * k.share:.1f} %") for k in part.kinds]
        print_table(("kind", "layers", "bytes", "share"), shares, f"{part.device_name}: bytes by kind", "layers bytes share")


def _row(part: Part) -> tuple[object, ...]:
    from sdk.report.numbers import shown

    return (
        part.device_name, part.model, part.target, shown(part.size.measured.value, "bytes"),
        "none" if part.size.limit is None else shown(part.size.limit, "bytes"), shown(part.quality.measured.value),
        "none" if part.metric is None else shown(part.metric.artifact.value),
        f"{shown(part.checks[0].p90.value, 'ms')} ({part.checks[0].origin})" if part.checks else "not timed",
        shown(part.parity.error.value), part.quality.measured.origin,
    )  # fmt: skip
