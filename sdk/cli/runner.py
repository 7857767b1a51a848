"""`sdk runner`: builds the program that measures on phones."""

from __future__ import annotations

import json

import click

from sdk.cli.options import json_option


@click.group()
def COMMAND() -> None:
    """Build the program that `sdk check --on adb` pushes to a phone.

    \b
      sdk runner build
      sdk runner build --abi x86_64
    """


@COMMAND.command()
@click.option("--abi", default="arm64-v8a", metavar="NAME", help="arm64-v8a or x86_64; by default arm64-v8a.")
@json_option
def build(abi: str, as_json: bool) -> None:
    """Cross-compile the LiteRT runner and gather the libraries that it needs; its sha256 goes into every result."""
    from sdk.check.programs.build import RECORD, build_program, find_abi
    from sdk.cli.output import print_json, print_table
    from sdk.units import format_size

    folder = build_program(find_abi(abi))
    record = json.loads((folder / RECORD).read_text("utf-8"))
    if as_json:
        print_json({**record, "folder": str(folder)})
        return
    rows = [(name, format_size((folder / name).stat().st_size), digest) for name, digest in record["files"].items()]
    print_table(("file", "size", "sha256"), rows, "", "size")
