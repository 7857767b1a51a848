"""`sdk generate`: a language-model bundle answers a prompt on this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

from sdk.cli.options import json_option

if TYPE_CHECKING:
    from sdk.generate import Generated


MEASURED = {
    "host": "host (this machine, not a phone)",
    "evaluator": "evaluator (the SDK's own, on this machine: its speed says nothing of the runtime's)",
}
"""Origin of a bundle's executable → how it is told."""


@click.command()
@click.argument("bundle", type=click.Path())
@click.argument("prompt")
@click.option("--max-tokens", type=click.IntRange(1), default=64, show_default=True, help="Most tokens to write.")
@click.option("--plain", is_flag=True, help="Continue the prompt as it is, without the model's chat template.")
@json_option
def COMMAND(bundle: str, prompt: str, max_tokens: int, plain: bool, as_json: bool) -> None:
    """Run the finished BUNDLE of a language model here: write what it answers to PROMPT, and how fast.

    \b
    Speeds and memory are those of this machine, not of a phone; a Core ML bundle is evaluated where there is no macOS.

    \b
      sdk generate dist/smollm2-pixel8-executorch "What is the capital of France?" --max-tokens 32
    """
    from sdk.bundles import open_bundle
    from sdk.cli.output import print_facts, print_json, toolchains_on_stderr
    from sdk.generate import generate
    from sdk.lowering.discovery import find_target

    opened = open_bundle(bundle)
    alone = getattr(find_target(opened.manifest.target), "alone", {})
    os.environ.update({name: value for name, value in alone.items() if name not in os.environ})
    out = _own_stdout()

    def show(text: str) -> None:
        if not as_json:
            out.write(text)
            out.flush()

    with toolchains_on_stderr():
        made = generate(opened, prompt, max_tokens, plain=plain, show=show)
    if as_json:
        print_json({"bundle": bundle, "origin": made.origin, **_data(made)})
        return
    click.echo("\n")
    print_facts(_facts(made))


def _own_stdout() -> TextIO:
    """Standard output as it is now, which stays so while that of toolchains is sent elsewhere."""
    try:
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    except OSError:
        return sys.stdout  # a stream that is no file, such as a test's


def _data(made: Generated) -> dict[str, Any]:
    return {
        "text": made.text, "tokens": list(made.tokens), "stopped": made.stopped, "prompt_tokens": made.prompt_tokens,
        "prefill_tokens_per_second": round(made.prefill_speed, 2),
        "decode_tokens_per_second": None if made.decode_speed is None else round(made.decode_speed, 2),
        "resident_bytes": made.resident_bytes, "model_bytes": made.model_bytes,
    }  # fmt: skip


def _facts(made: Generated) -> list[tuple[str, object]]:
    from sdk.units import format_size

    speed = "" if made.decode_speed is None else f", {made.decode_speed:.1f} tokens/s"
    return [
        ("prompt", f"{made.prompt_tokens} tokens, {made.prefill_speed:.1f} tokens/s"),
        ("answer", f"{len(made.tokens)} tokens{speed}, stopped by {made.stopped}"),
        ("memory", f"{format_size(made.resident_bytes)} resident, {format_size(made.model_bytes)} of it for the bundle"),
        ("measured by", MEASURED[made.origin]),
    ]
