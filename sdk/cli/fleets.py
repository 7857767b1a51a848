"""`sdk package` for a fleet: flags → members → folder, and how the finished fleet is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sdk.pipeline import Request
    from sdk.release.fleet import FleetFile, FleetManifest


def package(flags: dict[str, Any], out: str | None, plan: str | None, fleet: str | None, most: int | None, as_json: bool) -> None:
    """Package the fleet of the file `fleet`, or of the devices that `flags` name, in `most` variants."""
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.cli.requests import shared_workbench, split, whole_request, with_inputs
    from sdk.config import load_project
    from sdk.errors import BadInput
    from sdk.release.fleet import check_place, chooser_of, members_of, package_fleet

    project = load_project(Path(flags["project"]) if flags["project"] else None)
    request = whole_request(flags, project, plan)
    if request.accelerator in ("gpu", "npu"):
        raise BadInput(f"--accelerator {request.accelerator}: the variants of a fleet are for what a target runs on by itself")
    file = _fleet(flags, plan, fleet, most, project.devices or ())
    targets = split(flags["targets"]) or project.target or ("auto",)
    members = members_of(file, request, targets)
    place = _place(out or project.out, request)
    check_place(place)
    report = reporter(as_json)
    with toolchains_on_stderr():
        request = with_inputs([request], flags["inputs"], flags["project"])[0]
        bench = shared_workbench([request], report)
        chooser = chooser_of(file, members, bench, report)
        made = package_fleet(chooser, file.max_variants, request, place, report, bench)
    if as_json:
        print_json({"path": str(place), "fleet": made.model_dump(mode="json", by_alias=True)})
    else:
        _show(made, place)


def _fleet(flags: dict[str, Any], plan: str | None, fleet: str | None, most: int | None, devices: Sequence[str]) -> FleetFile:
    from sdk.cli.requests import split
    from sdk.errors import BadInput
    from sdk.release.fleet import even_fleet, load_fleet

    if plan or flags["uniform"]:
        raise BadInput("--plan and --uniform decide every layer, and a fleet's variants are planned: leave them out")
    if fleet is None:
        named = split(flags["devices"]) or tuple(devices)
        return even_fleet(named) if most is None else even_fleet(named, most)
    if flags["devices"]:
        raise BadInput("--fleet and --device both name the devices: give one")
    file = load_fleet(Path(fleet))
    return file if most is None else file.model_copy(update={"max_variants": most})


def _place(out: str | None, request: Request) -> Path:
    """--out, or dist/<model>-fleet."""
    if out is not None:
        return Path(out)
    head, colon, attribute = str(request.model).rpartition(":")
    return Path("dist") / f"{attribute if colon else Path(head or attribute).stem}-fleet"


def _show(fleet: FleetManifest, place: Path) -> None:
    from sdk.cli.output import print_facts, print_table

    rows = [
        (each.id, f"{each.min_os:g}" if each.min_os else "", f"{each.bytes:,}", f"{each.predicted_loss:.4g}",
         f"{each.measured_loss:.4g}", each.measured_by, f"{each.share:.1%}", ", ".join(each.devices))
        for each in fleet.variants
    ]  # fmt: skip
    columns = ("variant", "OS from", "bytes", f"loss ({fleet.loss})", "measured", "by", "share", "devices")
    print_table(columns, rows, f"{fleet.model.name}: variants", f"bytes loss ({fleet.loss}) measured share")
    click.echo()
    print_table(
        ("variants", "loss", "download", "all files", "saves"), _steps(fleet), "What each further variant buys",
        "variants loss download all files saves",
    )  # fmt: skip
    click.echo()
    print_facts([
        ("fleet", place),
        ("devices", len(fleet.devices)),
        ("rate", f"a loss of {fleet.loss_per_mb:.3g} is worth 1 MB of download"),
        ("selector", place / "selector.json"),
    ])


def _steps(fleet: FleetManifest) -> list[tuple[object, ...]]:
    """Share-weighted loss and download of at most k variants, and what the last of them saves in price."""
    rows: list[tuple[object, ...]] = []
    before: float | None = None
    for step in fleet.steps:
        if step.price is None or step.loss is None or step.bytes is None:
            rows.append((step.variants, "cannot serve every device"))
            continue
        saved = "" if before is None else f"{before - step.price:.3g}"
        rows.append((step.variants, f"{step.loss:.4g}", f"{round(step.bytes):,}", f"{step.total_bytes:,}", saved))
        before = step.price
    return [(*row, *("",) * (5 - len(row))) for row in rows]
