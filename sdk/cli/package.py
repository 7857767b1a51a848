"""`sdk package`: model → verified bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sdk.cli import fleets
from sdk.cli.options import request_options

if TYPE_CHECKING:
    from sdk.bundles import Bundle
    from sdk.models import LayerInventory


@click.command()
@request_options
@click.option("--plan", metavar="FILE", help="Package this plan (of `sdk plan --out`, edited or not) as it is.")
@click.option("--recovered", metavar="FILE", help="Grids that `sdk recover` trained for this --plan.")
@click.option("--fleet", metavar="FILE", help="Package for the devices of this fleet.yaml, in few variants with a selector.")
@click.option("--max-variants", type=click.IntRange(1, 64), metavar="K", help="Let the devices share K variants at most.")
@click.option("--out", "-o", metavar="DIR", help="The bundle's directory; by default dist/<model>-<device>-<target>.")
def COMMAND(
    as_json: bool, plan: str | None, recovered: str | None, out: str | None, fleet: str | None, max_variants: int | None,
    **flags: Any,
) -> None:
    """Package MODEL for a device: plan, lower, execute the finished file, and write the bundle.

    \b
    MODEL is file.py:factory, pkg.mod:factory, a .pt2 file, or a Hugging Face directory or id;
    without it, sdk.yaml says. Several devices give a bundle each, unless --max-variants or --fleet lets
    them share the least lossy few: then --out (dist/<model>-fleet) holds the variants and selector.json.

    \b
      sdk package --device pixel8
      sdk package model.py:net --device pixel8 --max-size 4MB --calibration data.py:photos
      sdk package model.py:net --device pixel8 --target executorch,tflite --out dist/net
      sdk package --device pixel8,galaxy_s24,iphone15pro --max-variants 2
      sdk package --fleet fleet.yaml
    """
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.cli.requests import build_requests, shared_workbench, with_inputs
    from sdk.pipeline import package, pricing_ahead, score_together

    if fleet is not None or max_variants is not None:
        fleets.package(flags, out, plan, fleet, max_variants, as_json)
        return
    requests = build_requests(flags, out, plan, recovered)
    report = reporter(as_json)
    finished = []
    with toolchains_on_stderr():
        requests = with_inputs(requests, flags["inputs"], flags["project"])
        workbench = shared_workbench(requests, report)
        with pricing_ahead(requests, workbench):
            score_together(requests, workbench)
            for request in requests:
                finished.append(package(request, report, workbench))
    if as_json:
        bundles = [{"path": str(b.path), "manifest": b.manifest.model_dump(mode="json", by_alias=True)} for b in finished]
        print_json({"bundles": bundles})
        return
    for bundle in finished:
        _show(bundle, workbench.model.inventory)


def _show(bundle: Bundle, inventory: LayerInventory) -> None:
    from sdk.cli.output import accelerator_facts, foreseen_facts, print_facts, print_table
    from sdk.units import format_size

    manifest = bundle.manifest
    before = {layer.name: layer.parameters * 4 for layer in inventory.layers}
    rows = [
        (layer.name, layer.kind, layer.realised, f"{before[layer.name]:,}", f"{layer.bytes:,}",
         f"{layer.bytes * 32 / before[layer.name]:.2f}" if before[layer.name] else "")
        for layer in manifest.layers
    ]  # fmt: skip
    print_table(
        ("layer", "kind", "scheme", "before", "after", "bits"), rows, f"{manifest.model.name}: layers", "before after bits"
    )
    click.echo()
    print_table(("figure", "predicted", "measured", "measured by"), _figures(bundle), "Figures", "predicted measured")
    click.echo()
    artifact = manifest.artifact
    print_facts([
        ("bundle", bundle.path),
        ("artifact", f"{artifact.path}, {format_size(artifact.bytes)} ({artifact.bytes:,} bytes)"),
        ("sha256", artifact.sha256),
        *foreseen_facts(manifest.predicted.peak_memory, manifest.predicted.latency, manifest.language is not None),
        ("for", f"{manifest.device}, {manifest.target}" + (f", OS {manifest.min_os:g}" if manifest.min_os else "")),
        *accelerator_facts(manifest.accelerator),
        ("executed by", manifest.runtime),
    ])


def _figures(bundle: Bundle) -> list[tuple[object, ...]]:
    from sdk.bundles import Bounded

    predicted, measured = bundle.manifest.predicted, bundle.manifest.measured
    rows: list[tuple[object, ...]] = []
    for name in ("artifact_bytes", "loss", "relative_error"):
        said, found = getattr(predicted, name), getattr(measured, name)
        shown = f"{name} ({bundle.manifest.loss})" if name == "loss" else name
        bounds = f" ({_number(said.low)} to {_number(said.high)})" if name == "loss" and isinstance(said, Bounded) else ""
        rows.append((shown, _number(said.value) + bounds, _number(found.value), found.origin))
    metric = bundle.manifest.metric
    if metric is not None:
        for which, value in (("float", metric.float_), ("quantized", metric.quantized), ("artifact", metric.artifact)):
            rows.append((f"{metric.name}: {which}", "", _number(value), "host" if which != "artifact" else measured.loss.origin))
    return rows


def _number(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
