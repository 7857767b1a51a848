"""`sdk sweep`: models × devices × targets × budgets, a bundle each."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.cli.options import Positive, Size, json_option

if TYPE_CHECKING:
    from sdk.sweep import Sweep, SweepReport, Tally


@click.command()
@click.argument("spec", required=False, type=click.Path(), metavar="[FILE]")
@click.option("--model", "-m", "models", multiple=True, metavar="REF", help="Model, or a folder with an sdk.yaml; repeat.")
@click.option("--device", "-d", "devices", multiple=True, metavar="NAME", help="Device; several with commas.")
@click.option("--target", "-t", "targets", multiple=True, metavar="NAME", help="Target; several with commas.")
@click.option("--max-size", "sizes", multiple=True, type=Size(), help="A budget of bytes, such as 4MB; repeat.")
@click.option("--max-loss", "losses", multiple=True, type=Positive(), help="A budget of loss; repeat.")
@click.option("--uniform", "presets", multiple=True, metavar="PRESET", help="One recipe for all layers as a budget; repeat.")
@click.option("--calibration", metavar="REF", help="file.py:function, for models given with --model.")
@click.option("--trust", is_flag=True, help="Run code that models given with --model bring with them.")
@click.option("--on", metavar="WHERE", help="local (default), ray, or ray://head:10001.")
@click.option("--jobs", "-j", type=click.IntRange(1, 1024), help="Most workers; by default what processors and memory allow.")
@click.option("--out", "-o", metavar="DIR", help="Folder of the bundles and of sweep.json; by default sweep.")
@json_option
def COMMAND(as_json: bool, **flags: Any) -> int:
    """Package every model for every device, target and budget: one folder of bundles, one row each in sweep.json.

    \b
    The matrix is in FILE (sweep.yaml here by default), in flags, or in both: flags replace the file's list.
    What was done is not done again: run it once more to go on after a failure. Exit code 1 when any cell failed.

    \b
      sdk sweep
      sdk sweep matrix.yaml --jobs 4
      sdk sweep -m model.py:net --calibration data.py:photos -d pixel8,pixel9 -t tflite,executorch --max-size 4MB --max-size 6MB
      sdk sweep --on ray://head:10001
    """
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.sweep import run_sweep

    sweep = _sweep(**flags)
    with toolchains_on_stderr():
        report = run_sweep(sweep, (lambda tally: None) if as_json else Screen())
    failed = [row for row in report.rows if row.status != "built"]
    message = f"{len(failed)} of {len(report.rows)} cells failed, {failed[0].cell}: {failed[0].error}" if failed else ""
    if as_json:
        failure = {"error": message, "exit_code": 1} if failed else {}
        print_json({"out": str(sweep.out), **report.model_dump(mode="json"), **failure})
    else:
        _show(report, sweep.out)
    if failed:
        click.echo(f"error: {message}", err=True)
    return 1 if failed else 0


def _sweep(spec: str | None, devices: tuple[str, ...], targets: tuple[str, ...], on: str | None, jobs: int | None,
           out: str | None, **flags: Any) -> Sweep:  # fmt: skip
    from sdk.errors import BadInput
    from sdk.sweep import Sweep, SweepFile, read_spec
    from sdk.sweep.cells import make_cells

    file = Path(spec) if spec is not None else Path("sweep.yaml")
    said = read_spec(file) if spec is not None or file.is_file() else SweepFile()
    models, budgets = _models(**flags) or said.models, _budgets(**flags) or said.budgets or ()
    if not models:
        raise BadInput("which models? give --model REF, or `models` in sweep.yaml")
    named = _split(devices) or said.devices
    if not named:
        raise BadInput("which devices? give --device NAME, or `devices` in sweep.yaml; `sdk devices list` shows all")
    cells = make_cells(models, named, _split(targets) or said.targets or ("auto",), budgets)
    return Sweep(cells, Path(out or said.out or "sweep"), on or said.on or "local", jobs or said.jobs)


def _models(models: tuple[str, ...], calibration: str | None, trust: bool, **_: Any) -> tuple[Any, ...]:
    from sdk.sweep.spec import SweepModel

    made = []
    for each in models:
        field = "project" if (Path(each) / "sdk.yaml").is_file() or each.endswith((".yaml", ".yml")) else "model"
        made.append(SweepModel.model_validate({field: each, "calibration": calibration, "trust": trust}))
    return tuple(made)


def _budgets(sizes: tuple[int, ...], losses: tuple[float, ...], presets: tuple[str, ...], **_: Any) -> tuple[Any, ...]:
    from sdk.sweep.spec import SweepBudget

    given = [{"max_size": each} for each in sizes] + [{"max_loss": each} for each in losses]
    return tuple(SweepBudget.model_validate(each) for each in [*given, *({"uniform": each} for each in presets)])


def _split(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))


class Screen:
    """Says where a sweep is: one line that changes on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = ("", 0.0)

    def __call__(self, tally: Tally) -> None:
        """Show the tally unless it was shown just now."""
        stage, when = self._last
        now = time.monotonic()
        if stage == tally.stage and now - when < (0.2 if self._live else 10.0) and tally.done < tally.total:
            return
        self._last = (tally.stage, now)
        ended = not self._live or tally.done == tally.total
        click.echo(f"\r\033[K{line(tally)}" if self._live else line(tally), err=True, nl=ended)


def line(tally: Tally) -> str:
    """One line of progress."""
    words = [f"{tally.done} of {tally.total} cells"]
    words += [f"{tally.failed} failed"] if tally.failed else []
    if tally.stage == "plan":
        words += ["planning"]
    elif tally.done < tally.total:
        words += [f"{tally.lowering} plans to lower"] if tally.lowering else []
        words += ["time left not known yet" if tally.left is None else f"about {_time(tally.left)} left"]
    return ", ".join(words)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _show(report: SweepReport, out: Path) -> None:
    from sdk.cli.output import print_facts, print_table

    rows = [
        (row.cell, row.status, "" if row.bytes is None else f"{row.bytes:,}",
         "" if row.loss is None else f"{row.loss:.4g}", row.error or "")
        for row in report.rows
    ]  # fmt: skip
    print_table(("cell", "status", "bytes", "loss", "error"), rows, "", "bytes loss")
    click.echo()
    built = sum(row.status == "built" for row in report.rows)
    different = len({row.sha256 for row in report.rows if row.sha256})
    print_facts([("folder", out), ("built", f"{built} of {len(report.rows)}"), ("different artifacts", different)])
