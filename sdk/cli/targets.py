"""`sdk targets`: what is installed, what it can run, and how to install what is missing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.lowering import Target


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME | probe NAME [KIND]...]")
@click.option("--device", "-d", metavar="NAME", help="With --accelerator: the device whose accelerator it is.")
@click.option("--accelerator", type=click.Choice(["cpu", "gpu", "npu"]), metavar="KIND", help="What it runs there, documented.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Of probe: the table goes there, not to the screen.")
@json_option
def COMMAND(names: tuple[str, ...], device: str | None, accelerator: str | None, out: Path | None, as_json: bool) -> int:
    """List targets with their toolchains; with NAME, what that one was measured to run; with probe, measure it again here.

    \b
      sdk targets
      sdk targets executorch
      sdk targets probe executorch linear embedding --out table.yaml
      sdk targets executorch --device pixel8 --accelerator gpu
    """
    from sdk.cli.output import print_json
    from sdk.errors import BadInput
    from sdk.lowering.discovery import find_target

    if names[:1] == ("probe",):
        return _probe(names[1:], out)
    if len(names) > 1 or out is not None:
        raise BadInput("sdk targets: name one target, or measure one: sdk targets probe NAME [KIND ...] --out FILE")
    name = names[0] if names else None
    if (device is None) != (accelerator is None) or (accelerator is not None and name is None):
        raise BadInput("--accelerator: name target and device too: sdk targets executorch --device pixel8 --accelerator gpu")
    if name is not None:
        target = find_target(name) if device is None else _variant(name, device, str(accelerator))
        if as_json:
            print_json(_data(target) | {"capabilities": [asdict(row) for row in target.capabilities()]})
        else:
            _show_one(target)
        return 0
    return _list(as_json)


def _probe(names: tuple[str, ...], out: Path | None) -> int:
    """Measure a target's kinds of layers in every scheme, and write its table; BadInput, Missing."""
    import importlib

    from sdk.errors import BadInput
    from sdk.files import write_whole
    from sdk.lowering.discovery import find_target
    from sdk.pipeline.kept import module_of

    if not names:
        raise BadInput("sdk targets probe: name the target that is to be measured: sdk targets probe NAME [KIND ...]")
    name, *chosen = names
    try:
        target = find_target(name)
        probe = importlib.import_module(f"{module_of(target)}.probe")
    except ModuleNotFoundError as error:
        if not str(error.name).endswith(".probe"):
            raise
        raise BadInput(f"target {name!r} has no probe ({error})") from error
    kinds = probe.kinds()
    unknown = [each for each in chosen if each not in kinds]
    if unknown:
        raise BadInput(f"target {name!r}: no kind of layer {unknown[0]!r} is probed; there are: {', '.join(kinds)}")
    import yaml

    table = probe.table(chosen) + yaml.safe_dump({"measured_with": dict(target.toolchain().packages)}, default_flow_style=None)
    if out is not None:
        write_whole(out, table)
    else:
        click.echo(table, nl=False)
    return 0


def _variant(name: str, device: str, accelerator: str) -> Target:
    """The target as it is for an accelerator of a device; BadInput, Missing."""
    from sdk.devices import find_device
    from sdk.pipeline import Request
    from sdk.pipeline.accelerating import resolve_target

    request = Request(model=None, device=device, target=name, accelerator=accelerator)
    return resolve_target(request, find_device(device))


def _list(as_json: bool) -> int:
    """List all; a target that cannot be imported is a row with its error, and fails the command."""
    from sdk.cli.output import print_json, print_table
    from sdk.errors import SdkError
    from sdk.lowering.discovery import target_entries

    listed: list[dict[str, Any]] = []
    for entry in target_entries():
        try:
            listed.append(_data(entry.load()) | {"origin": entry.origin})
        except Exception as error:  # whatever a third party's code raises belongs in its row
            said = str(error) if isinstance(error, SdkError) else f"target {entry.name!r}: {type(error).__name__}: {error}"
            listed.append({"name": entry.name, "origin": entry.origin, "error": said, "installed": False})
    broken = [each["error"] for each in listed if "error" in each]
    if as_json:
        print_json({"targets": listed} | ({"error": broken[0], "exit_code": 1} if broken else {}))
    else:
        rows = [(e["name"], "yes" if e["installed"] else "no", _versions(e), _runs(e), _mend(e)) for e in listed]
        print_table(("target", "installed", "toolchain", "quantizes", "missing"), rows)
    for message in broken:
        click.echo(f"error: {message}", err=True)
    return 1 if broken else 0


def _data(target: Target) -> dict[str, Any]:
    toolchain = target.toolchain()
    supported: dict[str, list[str]] = {}
    for row in target.capabilities():
        for kind in row.kinds if row.supported else ():
            supported.setdefault(kind, []).append(row.scheme)
    return {
        "name": target.name,
        "artifact": target.artifact,
        "fallback": target.fallback,
        "installed": not toolchain.missing,
        "packages": dict(toolchain.packages),
        "missing": list(toolchain.missing),
        "install": toolchain.install if toolchain.missing else None,
        "schemes": {kind: sorted(set(names)) for kind, names in sorted(supported.items())},
    }


def _versions(data: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in data.get("packages", {}).items())


def _runs(data: dict[str, Any]) -> str:
    return ", ".join(f"{kind} {len(names)}" for kind, names in data.get("schemes", {}).items())


def _measured(target: Target) -> str:
    """The versions that the table was measured with, and the mend where others are installed."""
    from sdk.lowering.tables import measured_with
    from sdk.pipeline.kept import module_of

    versions = measured_with(module_of(target))
    said = ", ".join(f"{name} {version}" for name, version in versions.items()) or "versions that it does not state"
    installed = {name: version for name, version in target.toolchain().packages.items() if version is not None}
    others = [name for name, version in versions.items() if _release(installed.get(name, version)) != _release(version)]
    return f"{said}: measure it again (`sdk targets probe {target.name}`)" if others else said


def _release(version: str) -> str:
    """A version without what a build says of itself (`2.13.0+cpu`)."""
    return version.partition("+")[0]


def _mend(data: dict[str, Any]) -> str:
    if "error" in data:
        return "cannot be imported"
    return data["install"] or ""


def _show_one(target: Target) -> None:
    from sdk.cli.output import print_facts, print_table

    data = _data(target)
    print_facts([
        ("target", target.name), ("artifact", target.artifact), ("float", target.fallback),
        ("toolchain", _versions(data)), ("missing", _mend(data) or "nothing"),
        ("measured with", _measured(target)),
    ])  # fmt: skip
    click.echo()
    rows = [
        (
            ", ".join(row.kinds), row.scheme, "yes" if row.supported else "no",
            "" if row.relative_error is None else f"{row.relative_error:.1e}",
            "" if row.speed is None else f"{row.speed:.2f}x",
            "" if row.min_os is None else f"{row.min_os:g}", row.reason or (f"documented: {row.source}" if row.source else ""),
        )
        for row in target.capabilities()
    ]  # fmt: skip
    print_table(("layers", "scheme", "runs", "error", "speed", "min os", "why"), rows, "", "error speed")
