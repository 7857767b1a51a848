"""`sdk plan`: choose a scheme per layer, and say why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sdk.cli.options import request_options

if TYPE_CHECKING:
    from sdk.pipeline import Axis, Planned
    from sdk.planning import Plan


@click.command()
@request_options
@click.option("--explain", "explain_layer", metavar="LAYER", help="Show every scheme considered for LAYER, and why not.")
@click.option("--pareto", metavar="FILE.csv", help="Write the front of losses there; its picture beside it (.svg).")
@click.option(
    "--pareto-axis", type=click.Choice(["size", "latency"]), default="size", show_default=True,
    help="What --pareto holds the loss against; limits on anything else hold at every point.",
)
@click.option("--out", "-o", metavar="FILE", help="Write the plan there (YAML); - prints it.")
@click.option("--force", is_flag=True, help="Let --out replace a file that is not a plan.")
def COMMAND(
    as_json: bool, explain_layer: str | None, pareto: str | None, pareto_axis: Axis, out: str | None, force: bool, **flags: Any
) -> None:
    """Plan MODEL for a device: the best scheme for every layer within the budget, nothing lowered.

    \b
      sdk plan --device pixel8 --max-size 4MB
      sdk plan --device pixel8 --max-size 4MB --out plan.yaml
      sdk plan --device pixel8 --max-size 4MB --pareto front.csv
      sdk plan --device pixel8 --max-size 4MB --pareto front.csv --pareto-axis latency
      sdk plan --device pixel8 --max-loss 0.01 --explain encoder.layer.0.output.dense
    """
    from sdk.cli.output import toolchains_on_stderr
    from sdk.cli.pareto import check_pareto, write_pareto
    from sdk.cli.progress import reporter
    from sdk.cli.requests import build_requests, shared_workbench, with_inputs
    from sdk.errors import BadInput
    from sdk.pipeline import make_plan

    requests = build_requests(flags, None, None)
    for option, file in (("--out", out), ("--pareto", pareto)):
        if file is not None and len(requests) > 1:
            raise BadInput(f"{option} {file} names one file, but there are {len(requests)} plans: give one --device and --target")
    if out is not None and out != "-":
        _check_out(Path(out), force)
    if pareto is None and click.get_current_context().get_parameter_source("pareto_axis") is not ParameterSource.DEFAULT:
        raise BadInput("--pareto-axis: says what --pareto FILE.csv shows: add that, or leave it out")
    if pareto is not None:
        check_pareto(Path(pareto))
    report = reporter(as_json)
    with toolchains_on_stderr():
        requests = with_inputs(requests, flags["inputs"], flags["project"])
        workbench = shared_workbench(requests, report)
        planned = [make_plan(request, report, workbench) for request in requests]
    front = write_pareto(planned[0], Path(pareto), pareto_axis) if pareto is not None else None
    _output(planned, explain_layer, out, front, as_json)


def _check_out(path: Path, force: bool) -> None:
    """Refuse a place that cannot be written, or a file that is somebody's and not a plan, before the work."""
    import os

    from sdk.errors import BadInput
    from sdk.planning import read_plan

    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "is a directory" if path.is_dir() else f"cannot be written: {folder} is not a writable directory"
        raise BadInput(f"--out {path}: {what}")
    if path.exists() and not force:
        try:
            read_plan(path)
        except BadInput:
            raise BadInput(f"--out {path}: exists and is not a plan: choose another file, or add --force") from None


def _output(planned: list[Planned], layer: str | None, out: str | None, front: dict[str, Any] | None, as_json: bool) -> None:
    from sdk.cli.output import print_json
    from sdk.cli.pareto import show_pareto
    from sdk.planning import explain, plan_text, write_plan

    explained = [explain(each.problem, each.plan, layer, each.needs) for each in planned] if layer is not None else []
    if out is not None and out != "-":
        write_plan(planned[0].plan, Path(out))
    if as_json:
        from dataclasses import asdict

        print_json({
            "plans": [each.plan.model_dump(mode="json") for each in planned],
            "notes": list(planned[-1].notes),
            **({"explanations": [asdict(each) for each in explained]} if layer is not None else {}),
            **({"front": front} if front is not None else {}),
        })
    elif layer is not None:
        for explanation in explained:
            _show_explanation(explanation)
    elif front is not None:
        show_pareto(front)
    elif out == "-":
        click.echo(plan_text(planned[0].plan), nl=False)
    else:
        for each in planned:
            _show(each)
        if out is not None:
            click.echo(f"written to {out}")


def _show(planned: Planned) -> None:
    from sdk.cli.output import foreseen_facts, print_facts, print_table
    from sdk.units import format_size

    plan, before = planned.plan, {layer.name: layer.parameters * 4 for layer in planned.inventory.layers}
    rows = [
        (line.layer, line.kind, line.scheme, f"{before[line.layer]:,}", f"{line.bytes:,}", f"{line.loss:.3g}", line.reason)
        for line in plan.layers
    ]
    columns = ("layer", "kind", "scheme", "before", "after", "loss", "why")
    print_table(columns, rows, f"{plan.model.name} for {plan.device}, {plan.target}", "before after loss")
    click.echo()
    size = plan.predicted.artifact_bytes
    print_facts([
        ("file", f"{format_size(size)} ({size:,} bytes), predicted; float weights alone: {format_size(sum(before.values()))}"),
        ("loss", f"{plan.predicted.loss:.4g} {plan.loss}, {_found(plan)} {plan.calibration.samples} samples"
                 f" of {plan.calibration.origin}"),
        *foreseen_facts(plan.predicted.peak_memory, plan.predicted.latency, planned.model.language is not None),
        ("objective", plan.objective),
    ])


def _found(plan: Plan) -> str:
    """How the loss of a plan is known: with more effort than none its layers were measured together, in torch."""
    return "predicted from" if plan.predicted.interaction is None else "measured in torch, before lowering, on"


def _show_explanation(explanation: Any) -> None:
    from sdk.cli.output import print_table

    rows = [
        (v.scheme, v.status, "" if v.bytes is None else f"{v.bytes:,}", "" if v.loss is None else f"{v.loss:.3g}", v.why)
        for v in explanation.verdicts
    ]
    click.echo(f"{explanation.layer} ({explanation.kind}): {explanation.chosen}")
    if explanation.price:
        click.echo(f"at this size, 1 kB more saves a loss of {1000 * explanation.price:.3g} where it saves most")
    print_table(("scheme", "verdict", "bytes", "loss", "why"), rows, "", "bytes loss")
