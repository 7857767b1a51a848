"""`sdk diff`: what changed between two plans or two bundles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("first", type=click.Path(), metavar="PLAN|BUNDLE")
@click.argument("second", type=click.Path(), metavar="PLAN|BUNDLE")
@json_option
def COMMAND(first: str, second: str, as_json: bool) -> None:
    """Compare two plans, or two bundles, layer by layer; the second against the first.

    Of bundles it also says by which cause (model, calibration, budget, target, tools, edit), with bytes and loss.

    \b
      sdk diff plan.yaml edited.yaml
      sdk diff released/net-pixel8-tflite dist/net-pixel8-tflite
    """
    from sdk.cli.output import print_json

    bundles = _is_bundle(first) and _is_bundle(second)
    found = _of_bundles(first, second) if bundles else _of_plans(first, second)
    if as_json:
        print_json({**asdict(found), "same": found.same})
    elif found.same:
        click.echo(f"the {'bundles' if bundles else 'plans'} are the same")
    elif bundles:
        _show_bundles(found)
    else:
        _show_plans(found)


def _is_bundle(path: str) -> bool:
    return Path(path).is_dir()


def _of_bundles(first: str, second: str) -> Any:
    from sdk.release.changes import compare_bundles

    return compare_bundles(Path(first), Path(second))


def _of_plans(first: str, second: str) -> Any:
    from sdk.planning import diff, read_plan

    return diff(read_plan(_plan_of(first)), read_plan(_plan_of(second)))


def _plan_of(path: str) -> Path:
    from sdk.bundles.manifest import PLAN

    return Path(path) / PLAN if _is_bundle(path) else Path(path)


def _show_plans(found: Any) -> None:
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


def _show_bundles(found: Any) -> None:
    from sdk.cli.output import print_facts, print_table

    if found.differences:
        rows = [(d.cause, d.field, _brief(d.old), _brief(d.new)) for d in found.differences]
        print_table(("cause", "what differs", "first", "second"), rows)
        click.echo()
    if found.layers:
        layers = [(c.layer, c.kind, c.old, c.new, f"{c.bytes:+,}", f"{c.loss:+.3g}", c.cause) for c in found.layers]
        print_table(("layer", "kind", "first", "second", "bytes", "loss", "by"), layers, "", "bytes loss")
        click.echo()
    shares = [(s.cause, s.layers, f"{s.bytes:+,}", f"{s.loss:+.4g}") for s in found.causes]
    rest = "" if found.rest_loss is None else f"{found.rest_loss:+.4g}"
    shares.append(("outside of layers; measured - predicted loss", "", f"{found.rest_bytes:+,}", rest))
    print_table(("by", "layers", "bytes", "loss"), shares, "", "layers bytes loss")
    click.echo()
    loss = "measured differently" if found.loss is None else f"{found.loss:+.4g}"
    print_facts([("bytes", f"{found.bytes:+,}"), ("loss", loss)])


def _brief(value: object) -> str:
    """Enough of a value to tell it from another; a digest by its beginning."""
    text = "none" if value is None else str(value)
    return text if len(text) < 40 else f"{text[:16]}…"
