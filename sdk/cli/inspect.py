"""`sdk inspect`: what a model is made of."""

from __future__ import annotations

from typing import Any

import click

from sdk.cli.options import json_option


@click.command()
@click.argument("model", required=False)
@click.option("--inputs", metavar="REF", help="file.py:function that returns example inputs.")
@click.option("--project", type=click.Path(), metavar="PATH", help="The sdk.yaml to use; by default the one here.")
@click.option("--trust", is_flag=True, default=None, help="Run code that a model brings with it.")
@json_option
def COMMAND(model: str | None, inputs: str | None, project: str | None, trust: bool | None, as_json: bool) -> None:
    """List MODEL's layers with shapes, parameters and multiply-accumulates, and what no scheme covers.

    \b
      sdk inspect model.py:net
    """
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.cli.requests import load_inventory

    with toolchains_on_stderr():
        loaded = load_inventory(model, inputs, project, trust)
    if as_json:
        print_json(_data(loaded))
    else:
        _show(loaded)


def _data(model: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": model.name,
        "digest": model.digest,
        "inputs": [asdict(spec) for spec in model.inputs],
        "outputs": [asdict(spec) for spec in model.outputs],
        "parameters": model.inventory.parameters,
        "layers": [asdict(layer) for layer in model.inventory.layers],
        "uncovered": [asdict(each) for each in model.inventory.uncovered],
    }


def _show(model: Any) -> None:
    from sdk.cli.output import print_facts, print_table
    from sdk.units import format_size

    inventory = model.inventory
    rows = [
        (layer.name, layer.kind, _by(layer.shape), f"{layer.parameters:,}", f"{layer.macs:,}", ", ".join(layer.tied))
        for layer in inventory.layers
    ]
    print_table(("layer", "kind", "shape", "parameters", "macs", "tied with"), rows, model.name, "parameters macs")
    if inventory.uncovered:
        click.echo()
        left = [(each.name, _by(each.shape), each.dtype, f"{each.bytes:,}") for each in inventory.uncovered]
        print_table(("covered by no scheme", "shape", "dtype", "bytes"), left, "", "bytes")
    click.echo()
    size = format_size(4 * inventory.parameters) if inventory.parameters else "0 B"
    print_facts([
        ("inputs", ", ".join(f"{s.name} {s.dtype} {list(s.shape)}" for s in model.inputs)),
        ("outputs", ", ".join(f"{s.name} {s.dtype} {list(s.shape)}" for s in model.outputs)),
        ("layers", len(inventory.layers)),
        ("weights", f"{inventory.parameters:,} ({size} as float32)"),
    ])


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


