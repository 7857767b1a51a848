"""`sdk init`: write a commented sdk.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from sdk.cli.options import Size, json_option


@click.command()
@click.argument("folder", type=click.Path(), default=".")
@click.option("--model", metavar="REF", help="The model, such as model.py:net.")
@click.option("--device", "-d", "devices", multiple=True, metavar="NAME", help="Device; several with commas.")
@click.option("--target", "-t", metavar="NAME", help="auto, executorch, tflite or coreml.")
@click.option("--max-size", type=Size(), help="Most bytes of the finished file, such as 4MB.")
@click.option("--calibration", metavar="REF", help="file.py:function that returns an iterable of input tuples.")
@click.option("--metric", metavar="REF", help="file.py:function metric(run) -> float.")
@click.option("--force", is_flag=True, help="Replace an sdk.yaml that is there.")
@json_option
def COMMAND(
    folder: str, model: str | None, devices: tuple[str, ...], target: str | None, max_size: int | None,
    calibration: str | None, metric: str | None, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a commented sdk.yaml into FOLDER (here by default).

    \b
      sdk init
      sdk init --model model.py:net --device pixel8,iphone15pro --max-size 4MB
    """
    from sdk.cli.output import print_json
    from sdk.config import FILE, template

    path = Path(folder) / FILE
    names = _checked([part.strip() for each in devices for part in each.split(",") if part.strip()], target)
    text = template(
        model or "model.py:factory", names or ("pixel8",), target or "auto", calibration, metric,
        f"{max_size:_}" if max_size is not None else None,
    )  # fmt: skip
    _write(path, text, force)
    if as_json:
        print_json({"written": str(path)})
    else:
        click.echo(f"wrote {path}; edit it, then run `sdk package`")


def _checked(devices: list[str], target: str | None) -> list[str]:
    from sdk.devices import find_device
    from sdk.lowering.discovery import find_target

    if target is not None and target != "auto":
        find_target(target)
    return [find_device(name).name for name in devices]


def _write(path: Path, text: str, force: bool) -> None:
    """Write a new file whole; an existing one only with --force."""
    from sdk.config import Project
    from sdk.devices.reading import parse_model
    from sdk.errors import BadInput
    from sdk.files import write_whole

    if path.exists() and not force:
        raise BadInput(f"{path}: exists already: edit it, or add --force to replace it")
    parse_model(text, Project, str(path))
    write_whole(path, text)
