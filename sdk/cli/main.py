"""Entry of the command: finds the verb, and turns every failure into one sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import click

from sdk.cli.failure import INTERRUPTED, Failure, Terminated, explain
from sdk.cli.screen import quiet
from sdk.errors import BadInput

VERBS = (
    "package", "sweep", "plan", "recover", "diff", "sign", "verify", "report", "check", "generate",
    "gate", "release", "inspect", "devices", "targets", "runner", "cache", "init",
)  # fmt: skip
"""One module of this package each, with a `COMMAND`, in the order in which `--help` lists them."""

EPILOG = """\b
Worked examples:
  sdk init                                             write a commented sdk.yaml
  sdk package --device pixel8                          everything else from sdk.yaml
  sdk package model.py:net --device "Pixel 8" --max-size 4MB --calibration data.py:photos
  sdk package model.py:net --device iphone15pro --max-loss 0.01
  sdk package net.pt2 --device pixel8 --target executorch,tflite --uniform q8
  sdk plan --device pixel8 --max-size 4MB --out plan.yaml    then edit it, and
  sdk package --plan plan.yaml --device pixel8
  sdk plan --device pixel8 --max-size 4MB --explain features.0.conv
  sdk recover --plan plan.yaml --device pixel8 --data data.py:training    train the plan's weights, and
  sdk package --plan plan.yaml --device pixel8 --recovered recovered.safetensors
  sdk sign dist/net-pixel8-executorch --key key.pem    and then
  sdk verify dist/net-pixel8-executorch --key key.pub.pem
  sdk sweep matrix.yaml --jobs 4                       models × devices × targets × budgets
  sdk report dist/net-pixel8-executorch --out report.html
  sdk package model.gguf --device pixel8 --context 512    and then
  sdk generate dist/model-pixel8-executorch "What is a ferry?"
  sdk package model.gguf --device pixel8 --context 512 --target tflite    a .litertlm for LiteRT-LM
  sdk check dist/net-pixel8-tflite --on adb --max-latency 8ms
  sdk gate dist/net-pixel8-executorch --baseline released/net-pixel8-executorch
  sdk release android dist/net-pixel8-tflite --out play

\b
Exit codes: 0 done, 1 a budget or check failed, 2 bad input, 3 a toolchain or device is missing.
Every verb takes --json. SDK_DEBUG=1 shows tracebacks."""


_stops: list[BaseException] = []
"""What signals raised in this process since the command began."""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"sdk.cli.{cmd_name}").COMMAND
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        self.commands = {name: click.Command(name) for name in VERBS}  # what click suggests from
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"sdk (snugfit) {version('snugfit')}")
        ctx.exit()


@click.group(cls=_Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version.")
def cli() -> None:
    """Turn a PyTorch model into a verified mobile bundle: a scheme per layer, within a budget of bytes or loss."""


def run(arguments: Sequence[str]) -> int:
    """Run the command with `arguments` and return its exit code; nothing is raised."""
    as_json = "--json" in arguments
    _stops.clear()
    try:
        _refuse_empty(arguments)
        result: Any = cli.main(args=list(arguments), prog_name="sdk", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader went away; say nothing at exit
        return 0
    except BaseException as error:
        failure = explain(_stops[0] if _stops else error)  # a library may turn a stop into an error of its own
        if failure is None:
            raise
        return _report(failure, error, as_json)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """BadInput for an argument of no letters: a script's variable that is not set asks for no default."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        flag, equals, value = argument.partition("=")
        if argument and not (flag.startswith("--") and equals and not value):
            continue
        named = flag or (before if before.startswith("-") else "an argument")
        raise BadInput(f"{named}: is empty: give a value, or leave it out")


def _report(failure: Failure, error: BaseException, as_json: bool) -> int:
    if os.environ.get("SDK_DEBUG") == "1" and failure.exit_code < INTERRUPTED:
        import traceback

        traceback.print_exception(error)
    if as_json:
        from sdk.cli.output import print_json

        print_json(failure.as_data())
    click.echo(f"error: {failure.message}", err=True)
    return failure.exit_code


def main() -> NoReturn:
    """Run the command of this process."""
    signal.signal(signal.SIGTERM, partial(_stop, Terminated(signal.SIGTERM)))
    signal.signal(signal.SIGINT, partial(_stop, KeyboardInterrupt()))
    if os.environ.get("SDK_DEBUG") != "1":
        quiet()
    code = run(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is done: stopping the interpreter's own end would print a traceback
    sys.stdout.flush()
    sys.exit(code)


def _stop(error: BaseException, *_: object) -> NoReturn:
    _stops.append(error)
    raise error
