"""`sdk check`: how fast, how big and how right is a bundle on a device?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.cli.options import Milliseconds, Positive, Size, json_option

if TYPE_CHECKING:
    from sdk.check import CheckResult
    from sdk.check.profile import OperatorEntry, ProfileEntry

SLOWEST = 10
"""Operators that are shown one by one."""


@click.command()
@click.argument("bundle", type=click.Path())
@click.option("--on", default="local", metavar="WHERE", help="local (the default), adb, adb:SERIAL, ssh:HOST, xcode:DIR or null.")
@click.option("--protocol", default="quick", metavar="NAME", help="quick, full, sustained or soak; by default quick.")
@click.option("--max-latency", type=Milliseconds(), help="Most ms of p90 on the device, such as 8ms.")
@click.option("--max-memory", type=Size(), help="Most bytes that it adds to its process, such as 60MB.")
@click.option("--deadline", type=Positive(), help="Whole seconds after which a repeat is ended; by default the protocol's.")
@click.option("--runner", "program", type=click.Path(path_type=Path), help="A runner of your own for the device.")
@click.option("--ssh-config", type=click.Path(path_type=Path), help="The configuration file that ssh is to use.")
@click.option("--baseline", type=click.Path(path_type=Path), help="An earlier bundle: worse by 10 % latency or 5 % memory fails.")
@click.option("--profile", is_flag=True, help="Also measure each operator: what executed it, and how long (LiteRT).")
@click.option("--out", type=click.Path(path_type=Path), help="Write the result, with all samples, to this JSON file.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the verdicts to this JUnit XML file.")
@json_option
def COMMAND(out: Path | None, junit: Path | None, as_json: bool, **words: Any) -> int:
    """Run BUNDLE on a device: compare its outputs with the recorded ones, measure latency and memory, judge.

    \b
      sdk check dist/net-pixel8-tflite                                    on this machine
      sdk check dist/net-pixel8-tflite --on adb --max-latency 8ms         on the phone that is connected
      sdk check dist/net-pixel8-tflite --on ssh:pi --protocol full --out pi.json
      sdk check dist/net-iphone15pro-coreml --on xcode:phone-test                   a test for Xcode, then its result
    """
    from sdk.check import check_bundle, result_data, write_result
    from sdk.check.checking import CheckRequest
    from sdk.check.junit import junit_text
    from sdk.cli.output import print_json, toolchains_on_stderr
    from sdk.cli.progress import reporter
    from sdk.files import write_whole

    with toolchains_on_stderr():
        result = check_bundle(CheckRequest(bundle=Path(words.pop("bundle")), **words), reporter(as_json))
    if out is not None:
        write_result(result, out)
    if junit is not None:
        write_whole(junit, junit_text(result))
    message = failure_of(result)
    if as_json:
        failure = {"error": message, "exit_code": result.exit_code} if result.exit_code else {}
        print_json({**result_data(result), **failure})
    else:
        _show(result)
    if result.exit_code:
        click.echo(f"error: {message}", err=True)
    return result.exit_code


def failure_of(result: CheckResult) -> str:
    """Return one sentence for all budgets that were not kept, or an empty text."""
    said = []
    for budget in result.budgets:
        if budget.verdict == "failed" or (budget.verdict == "unjudged" and budget.asked == "flag"):
            value = _amount(budget.measured.value, budget.unit)
            why = f" ({budget.why})" if budget.why else ""
            said.append(f"{budget.name}: {value} where {_amount(budget.limit, budget.unit)} is the limit: {budget.verdict}{why}")
    return "; ".join(said)


def _show(result: CheckResult) -> None:
    from sdk.cli.output import print_facts, print_table

    times, device = result.latency, result.device
    print_facts([
        ("bundle", f"{result.bundle.model} for {result.bundle.device}, {result.target}"),
        ("device", f"{device.id} {device.name} {device.abi} {device.os}"),
        ("runtime", result.runner.runtime),
        ("protocol", f"{result.protocol.name}: {times.runs} runs in {len(result.repeats)} repeats"),
    ])  # fmt: skip
    click.echo()
    print_table(("measured", "value", "origin", "note"), _rows(result), "", "value")
    click.echo()
    rows = [
        (b.name, _amount(b.measured.value, b.unit), _amount(b.limit, b.unit), b.measured.origin, b.verdict, b.asked, b.why)
        for b in result.budgets
    ]
    print_table(("budget", "measured", "limit", "origin", "verdict", "asked by", "why"), rows, "", "measured limit")
    if result.profile is not None:
        click.echo()
        _show_profile(result.profile)


def _show_profile(profile: ProfileEntry) -> None:
    """By kind, then the slowest operators, then what fell back; all operators are in the JSON."""
    from sdk.cli.output import print_table

    kinds = [(k.name, k.backend, str(k.count), f"{k.ns:,.0f}", f"{100 * k.share:.1f} %") for k in profile.kinds]
    print_table(("operators", "executed by", "count", "ns", "share"), kinds, "", "count ns share")
    click.echo()
    slowest = sorted(profile.operators, key=lambda each: -each.ns)[:SLOWEST]
    rows = [(o.name, _place(o), f"{o.ns:,.0f}", f"{100 * o.share:.1f} %") for o in slowest]
    print_table(("slowest", "where", "ns", "share"), rows, "", "ns share")
    left = profile.fallbacks
    named = "; ".join(f"{each.name} (node {each.node})" for each in left)
    parts = f"{profile.parts} part{'s' if profile.parts != 1 else ''}"
    click.echo(f"\nXNNPACK executes {parts} of the graph; " + (f"LiteRT's own kernels: {named}" if left else "nothing fell back"))


def _place(operator: OperatorEntry) -> str:
    return f"node {operator.node}, fell back" if operator.part is None else f"part {operator.part}, operator {operator.node}"


def _rows(result: CheckResult) -> list[tuple[str, str, str, str]]:
    times, bounds = result.latency, result.latency.p90_interval_ms
    known = bounds.low is not None and bounds.high is not None
    between = f"{_amount(bounds.low, 'ms')} to {_amount(bounds.high, 'ms')} at 95 %" if known else "too few runs for bounds"
    apart = "" if times.spread is None else f", {100 * times.spread:.1f} % apart"
    facts = [
        ("load", result.load_ms, "ms", "first repeat"), ("first run", result.first_ms, "ms", "first repeat"),
        ("p50", times.p50_ms, "ms", ""), ("p90", times.p90_ms, "ms", between),
        ("p99", times.p99_ms, "ms", f"repeats: {times.stability}{apart}"),
        ("peak memory", result.peak_memory, "bytes", result.memory_method),
        ("outputs differ", result.relative_error, "relative", "from the recorded ones"),
        ("throttling", result.throttling, "ratio", "last tenth of the runs over the first"),
        ("leak", result.leak, "bytes", "per 1,000 runs"),
    ]  # fmt: skip
    return [(name, _amount(m.value, unit), m.origin, note) for name, m, unit, note in facts if m is not None]


def _amount(value: float | None, unit: str) -> str:
    from sdk.units import format_size

    if value is None:
        return "unknown"
    if unit == "bytes":
        return format_size(round(value))
    if unit == "ms":
        return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"
    return f"{value:.1e}" if unit == "relative" else f"{value:.2f}"
