"""The options that several verbs share, with the words of sdk.yaml and of the Python API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: 12MB, 12MiB or 12_000_000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from sdk.errors import BadInput
        from sdk.units import parse_size

        try:
            return parse_size(value)
        except BadInput as error:
            raise BadInput(f"{param.opts[0] if param else 'size'}: {error}") from None


class Positive(click.ParamType):  # type: ignore[type-arg]
    """A finite number above zero, or from zero up."""

    name = "number"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        import math

        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or number < 0 or (number == 0 and not self.zero):
            self.fail(f"{value!r} is not a finite number {'from zero up' if self.zero else 'above zero'}", param, ctx)
        return number


class Milliseconds(Positive):
    """Milliseconds with their unit: 8ms, 0.5ms."""

    name = "latency"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, str) and not value.endswith("ms"):
            self.fail(f"{value!r} is not in milliseconds: write one such as 8ms", param, ctx)
        return super().convert(str(value).removesuffix("ms"), param, ctx)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")(command)


_REQUEST = (
    click.argument("model", required=False),
    click.option(
        "--device", "-d", "devices", multiple=True, metavar="NAME", help="Device, or a profile's YAML; several with commas."
    ),
    click.option(
        "--target", "-t", "targets", multiple=True, metavar="NAME",
        help="auto (by device), executorch, tflite, coreml; several with commas.",
    ),
    click.option(
        "--accelerator", type=click.Choice(["cpu", "gpu", "npu", "auto"]), metavar="KIND",
        help="cpu, gpu or npu, as the device's profile allows; by default what the target runs on by itself.",
    ),
    click.option("--max-size", type=Size(), help="Most bytes of the finished file, such as 4MB: best quality within it."),
    click.option("--max-loss", type=Positive(zero=True), help="Most loss against the float model: smallest file within it."),
    click.option("--max-memory", type=Size(), help="Most bytes of predicted peak memory, such as 60MB."),
    click.option(
        "--max-latency", type=Milliseconds(), help="Most ms of predicted latency, such as 8ms; of a language model: per token.",
    ),
    click.option("--uniform", metavar="PRESET",
                 help="One recipe for all layers: fp32, fp16, q8, q4, q4f16, q2; or exact, which changes no weight."),
    click.option(
        "--effort", type=click.Choice(["quick", "standard", "thorough"]), default="quick", show_default=True,
        help="How many plans are tried in torch for a --max-loss, on samples held apart, before one is lowered: none, 3 or 10.",
    ),
    click.option(
        "--objective", type=click.Choice(["quality", "smallest", "fastest", "least-memory"]),
        help="What is made least within the limits; by default quality within a --max-size, else smallest.",
    ),
    click.option("--calibration", metavar="REF", help="file.py:function that returns an iterable of input tuples."),
    click.option("--metric", metavar="REF", help="file.py:function metric(run) -> float, higher is better."),
    click.option("--loss", metavar="NAME", help="auto, kl, kl_probabilities, cosine or mse; or file.py:function."),
    click.option("--inputs", metavar="REF", help="file.py:function that returns example inputs."),
    click.option("--context", type=click.IntRange(1), metavar="N", help="Tokens that a language model's bundle holds."),
    click.option("--min-os", type=Positive(), help="Least OS version; by default that of the device."),
    click.option("--project", type=click.Path(), metavar="PATH", help="The sdk.yaml to use; by default the one here."),
    click.option("--trust", is_flag=True, default=None, help="Run code that a model brings with it."),
    json_option,
)  # fmt: skip


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add MODEL and every option that says what to plan or package."""
    for decorate in reversed(_REQUEST):
        command = decorate(command)
    return command
