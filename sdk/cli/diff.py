"""`sdk diff`: what changed between two plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("first", type=click.Path(), metavar="PLAN")
@click.argument("second", type=click.Path(), metavar="PLAN")
@json_option
def COMMAND(first: str, second: str, as_json: bool) -> None:
    """Compare two plans (or the plans of two bundles), layer by layer; the second against the first.

    \b
      sdk diff plan.yaml edited.yaml
      sdk diff dist/net-pixel8-executorch dist/net-pixel8-tflite
    """
    from dataclasses import asdict

    from sdk.cli.output import print_json
    from sdk.planning import diff, read_plan

    found = diff(read_plan(_plan_of(first)), read_plan(_plan_of(second)))
    if as_json:
        print_json({**asdict(found), "same": found.same})
    elif found.same:
        click.echo("the plans are the same")
    else:
        _show(found)


def _plan_of(path: str) -> Path:
    from sdk.bundles.manifest import PLAN

    return Path(path) / PLAN if Path(path).is_dir() else Path(path)


def _show(found: Any) -> None:
    from sdk.cli.output import print_facts, print_table

    if found.header:
        print_table(("header", "first", "second"), [(c.field, c.old, c.new) for c in found.header])
        click.echo()
    if found.layers:
        rows = [(c.layer, c.kind, c.old, c.new, f"{c.bytes:+,}", f"{c.loss:+.3g}") for c in found.layers]
        print_table(("layer", "kind", "first", "second", "bytes", "loss"), rows, "", "bytes loss")
        click.echo()
    facts: list[tuple[str, object]] = [("only in the first", ", ".join(found.only_first))] if found.only_first else []
    facts += [("only in the second", ", ".join(found.only_second))] if found.only_second else []
    print_facts([*facts, ("layers changed", len(found.layers)), ("bytes", f"{found.bytes:+,}"), ("loss", f"{found.loss:+.4g}")])
