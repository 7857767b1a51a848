"""`sdk gate`: may this bundle replace the one before it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.release.gate import Report


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--baseline", required=True, type=click.Path(), metavar="BUNDLE", help="The bundle that it is compared with.")
@click.option("--check", type=click.Path(), metavar="FILE", help="Result of `sdk check BUNDLE --out FILE`: latency, memory.")
@click.option("--baseline-check", type=click.Path(), metavar="FILE", help="The same of the baseline.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="Write JUnit XML.")
@click.option("--sarif", type=click.Path(), metavar="FILE", help="Write SARIF 2.1.0.")
@click.option("--markdown", type=click.Path(), metavar="FILE", help="Write a summary for the pull request.")
@click.option("--project", type=click.Path(), metavar="PATH", help="The sdk.yaml whose `gate` holds; by default the one here.")
@json_option
def COMMAND(
    bundle: str, baseline: str, check: str | None, baseline_check: str | None, project: str | None, as_json: bool,
    **files: str | None,
) -> int:  # fmt: skip
    """Compare BUNDLE with a baseline, rule by rule; `gate` in sdk.yaml says what is allowed.

    \b
      sdk gate dist/net-pixel8-tflite --baseline baseline/net-pixel8-tflite
      sdk gate dist/net-pixel8-tflite --baseline baseline/net-pixel8-tflite \\
          --check check.json --baseline-check baseline.json --junit gate.xml --sarif gate.sarif --markdown gate.md
    """
    from sdk.cli.output import print_json
    from sdk.config import load_project
    from sdk.release.gate import Sides, judge, read_side
    from sdk.release.gate.outputs import as_data

    limits = load_project(Path(project) if project else None).gate
    before = read_side(Path(baseline), Path(baseline_check) if baseline_check else None)
    report = judge(Sides(read_side(Path(bundle), Path(check) if check else None), before, limits))
    _write(report, files)
    failed = report.failures
    message = f"{bundle}: {failed[0].message}" + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else "") if failed else ""
    if as_json:
        print_json(as_data(report) | ({"error": message, "exit_code": 1} if failed else {}))
    else:
        _show(report)
    if failed:
        click.echo(f"error: {message}", err=True)
    return 1 if failed else 0


def _write(report: Report, files: dict[str, str | None]) -> None:
    from sdk.files import write_whole
    from sdk.release.gate.outputs import WRITERS

    for form, path in files.items():
        if path is not None:
            write_whole(Path(path), WRITERS[form](report))


def _show(report: Report) -> None:
    from sdk.cli.output import print_table
    from sdk.release.gate.judgement import VERDICTS

    rows = [(line.verdict, line.rule, line.message) for line in report.judgements]
    print_table(("verdict", "rule", "what was found"), rows)
    click.echo(", ".join(f"{count} {verdict}" for verdict in VERDICTS if (count := report.count(verdict))))
