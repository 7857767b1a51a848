"""`sdk devices`: which devices are known, what is known of one, and is this file a profile?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.devices import DeviceProfile


@click.group()
def COMMAND() -> None:
    """List devices, show one with the source of every fact, or validate a profile.

    \b
      sdk devices list
      sdk devices show "Pixel 8"
      sdk devices validate my_phone.yaml
      sdk devices probe --on adb --out my_phone.yaml
    """


@COMMAND.command("list")
@json_option
def list_all(as_json: bool) -> None:
    """List every device."""
    from sdk.cli.output import print_json, print_table
    from sdk.devices import list_devices

    profiles = list_devices()
    if as_json:
        print_json({"devices": [_data(profile) for profile in profiles]})
        return
    rows = [
        (p.name, p.title, p.soc.name.value, _size(p.ram), _system(p), ", ".join(p.targets)) for p in profiles
    ]
    print_table(("device", "title", "soc", "ram", "os", "targets"), rows, "", "ram")


@COMMAND.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is known of the device NAME, and where each fact was found."""
    from sdk.devices import find_device

    _show(find_device(name), as_json)


@COMMAND.command()
@click.argument("file", type=click.Path())
@json_option
def validate(file: str, as_json: bool) -> None:
    """Check a profile's YAML: unknown keys, units, and a source for every number."""
    from sdk.cli.output import print_json
    from sdk.devices import validate_file

    profile = validate_file(file)
    facts = sum(1 for _ in profile.facts())
    if as_json:
        print_json({"file": file, "ok": True, "device": _data(profile)})
    else:
        click.echo(f"{file}: a valid profile of {profile.title} with {facts} facts")


@COMMAND.command()
@click.option("--on", default="local", metavar="WHERE", help="local, adb, adb:SERIAL or ssh:HOST; by default local.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Measure the kernels of this target; by default of all.")
@click.option("--no-kernels", is_flag=True, help="Write what the device says of itself, and measure nothing.")
@click.option("--runner", "program", type=click.Path(path_type=Path), help="A runner of your own for the device.")
@click.option("--ssh-config", type=click.Path(path_type=Path), help="The configuration file that ssh is to use.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The profile to write, a YAML file.")
@json_option
def probe(
    on: str, targets: tuple[str, ...], no_kernels: bool, program: Path | None, ssh_config: Path | None, out: Path, as_json: bool
) -> None:
    """Draft the profile of a real device, and measure its kernels so that --max-latency can be planned for.

    \b
      sdk devices probe --out host.yaml                        this machine
      sdk devices probe --on adb --out phone.yaml              the phone that is connected
      sdk devices probe --on ssh:pi --target tflite --out pi.yaml
    """
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.devices.writing import profile_text
    from sdk.errors import BadInput
    from sdk.files import write_whole
    from sdk.probing import ProbeRequest, probe_device

    if no_kernels and targets:
        raise BadInput("--no-kernels and --target contradict each other: give one")
    if out.suffix not in (".yaml", ".yml"):
        raise BadInput(f"--out {out}: --device takes files that end in .yaml: name one")
    wanted = () if no_kernels else targets or _measurable(on, program)
    with toolchains_on_stderr():
        profile = probe_device(ProbeRequest(on, wanted, ssh_config, program), reporter(as_json))
    write_whole(out, profile_text(profile))
    if as_json:
        print_json({"file": str(out), "device": _data(profile)})
    else:
        click.echo(f"{out}: {profile.title}; kernels: {_measured(profile)}")


def _measurable(on: str, program: Path | None) -> tuple[str, ...]:
    """Targets whose kernels can be measured there; over adb those of LiteRT, for which there is a program."""
    from sdk.lowering.discovery import find_target

    names = ("tflite",) if on.partition(":")[0] == "adb" and program is None else ("tflite", "executorch")
    return tuple(name for name in names if not find_target(name).toolchain().missing)


def _measured(profile: DeviceProfile) -> str:
    return ", ".join(f"{len(found.rows)} of {name}" for name, found in profile.kernels.items()) or "none"


def _show(profile: DeviceProfile, as_json: bool) -> None:
    from sdk.cli.output import print_facts, print_json, print_table

    if as_json:
        print_json(_data(profile))
        return
    print_facts([
        ("device", profile.name), ("title", profile.title), ("vendor", profile.vendor),
        ("aliases", ", ".join(profile.aliases)), ("os", _system(profile)), ("targets", ", ".join(profile.targets)),
    ])  # fmt: skip
    for note in (profile.note, profile.os.note):
        if note:
            click.echo(note)
    click.echo()
    rows = [(path, _value(path, fact.value), fact.source, fact.why) for path, fact in profile.facts()]
    print_table(("fact", "value", "source", "why"), rows)


def _value(path: str, value: Any) -> str:
    from sdk.units import format_size

    if path in ("ram", "app_memory", "budgets.max_size"):
        return format_size(value)
    if path == "memory_bandwidth":
        return f"{format_size(value)}/s"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _data(profile: DeviceProfile) -> dict[str, Any]:
    return profile.model_dump(mode="json", by_alias=True, exclude_none=True)


def _size(fact: Any) -> str:
    from sdk.units import format_size

    return format_size(fact.value) if fact is not None else ""


def _system(profile: DeviceProfile) -> str:
    floor = profile.os.floor
    return f"{profile.os.name} {floor.value:g}" if floor is not None else profile.os.name
