"""Which sentence and which exit code an exception ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import click

from sdk.errors import SdkError

INTERRUPTED = 130


class Terminated(KeyboardInterrupt):
    """SIGTERM, with which CI cancels: everything is cleaned up as for SIGINT. Its argument is the signal's number."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One sentence, the exit code, and the counter-offer when a budget could not be met."""

    message: str
    exit_code: int
    offer: Any = None

    def as_data(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        data: dict[str, Any] = {"error": self.message, "exit_code": self.exit_code}
        if is_dataclass(self.offer) and not isinstance(self.offer, type):
            data["counter_offer"] = asdict(self.offer)
        return data


def explain(error: BaseException) -> Failure | None:
    """Return the failure that `error` is, or None for what has to pass (SystemExit)."""
    if isinstance(error, SdkError):
        return Failure(_one_line(str(error)), error.exit_code, getattr(error, "offer", None))
    if isinstance(error, click.exceptions.Exit):
        return Failure("", error.exit_code) if error.exit_code else None
    stopped = error.__cause__ if isinstance(error, click.Abort) else error
    if isinstance(stopped, Terminated):
        return Failure("terminated; nothing half-written was left", 128 + stopped.args[0])
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure("interrupted; nothing half-written was left", INTERRUPTED)
    if isinstance(error, click.UsageError):
        where = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        return Failure(_one_line(error.format_message()).rstrip(".") + where, 2)
    if isinstance(error, click.ClickException):
        return Failure(_one_line(error.format_message()), 2)
    if isinstance(error, MemoryError):
        return Failure("not enough memory: package a smaller model or use a machine with more", 1)
    if isinstance(error, Exception):
        text = _one_line(str(error))[:300]
        kind = type(error).__name__
        return Failure(f"unexpected {kind}{f': {text}' if text else ''} (SDK_DEBUG=1 shows where)", 1)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
