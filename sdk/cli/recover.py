"""`sdk recover`: win back by training what a plan loses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sdk.cli.options import request_options


@click.command()
@request_options
@click.option("--plan", required=True, metavar="FILE", help="The plan whose codes, scales, tables and floats are trained.")
@click.option("--data", metavar="REF", help="file.py:function that returns training inputs; by default the calibration.")
@click.option("--steps", type=int, metavar="N", help="Steps of 8 samples (windows of a language model); 500 by default.")
@click.option("--out", "-o", metavar="FILE", default="recovered.safetensors", show_default=True, help="Where to write the grids.")
def COMMAND(as_json: bool, plan: str, data: str | None, steps: int | None, out: str, **flags: Any) -> None:
    """Train MODEL on exactly the schemes of a plan, distilled from its float self, no label needed.

    Bytes stay what the plan says. An interrupted run goes on where it was. Then package with the same plan:

    \b
      sdk plan --device iphone15pro --max-size 2.6MB --out plan.yaml
      sdk recover --device iphone15pro --plan plan.yaml --data data.py:training --out recovered.safetensors
      sdk package --device iphone15pro --plan plan.yaml --recovered recovered.safetensors
    """
    from dataclasses import asdict

    from sdk.cli.output import print_facts, print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.cli.requests import build_requests, with_inputs
    from sdk.errors import BadInput
    from sdk.pipeline import recover

    path = Path(out)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BadInput(f"--out {out}: {'is a directory' if path.is_dir() else 'its directory does not exist'}: name a file")
    requests = build_requests(flags, None, plan)
    if len(requests) > 1:
        raise BadInput(f"recover: --plan {plan} is for one device and target, not {len(requests)}: give one of each")
    report = reporter(as_json)
    with toolchains_on_stderr():
        request = with_inputs(requests, flags["inputs"], flags["project"])[0]
        found = recover(request, data, path, report, steps)
    if as_json:
        print_json({"path": str(path), **{name: value for name, value in asdict(found).items() if name != "grids"}})
        return
    print_facts([
        (f"{found.loss} on {found.held_out} samples held out", f"{found.before:.4g} before, {found.after:.4g} after"),
        ("trained on", f"{found.samples - found.held_out} samples, {found.steps} steps"),
        ("written", out),
    ])
