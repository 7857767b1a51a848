"""Keeps what toolchains log off the error stream, so that a failure is one sentence there."""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import re
import sys
import tempfile
import warnings

_NATIVE_LOG = re.compile(r"\[\w+\.cpp:\d+\] ")
"""How ExecuTorch's runtime logs, through Python's streams, what it finds out about the processor."""

_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}


def quiet() -> None:
    """Hide warnings and log lines that no user can act on, for the rest of this process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # what goes wrong is raised too, and told in one sentence
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    _separate_streams()


class Screen(io.TextIOWrapper):
    """The error stream as Python sees it, without native log lines (which arrive in pieces)."""

    _held = ""

    def write(self, text: str) -> int:
        """Write `text` but for log lines; a line that may become one is held until it ends."""
        *whole, rest = (self._held + text).split("\n")
        kept = "".join(f"{line}\n" for line in whole if not _NATIVE_LOG.match(line))
        self._held = rest if rest.startswith("[") else ""
        super().write(kept + ("" if self._held else rest))
        return len(text)


def _separate_streams() -> None:
    """Send what native code writes to descriptor 2 into a file that vanishes; crashes are still shown."""
    try:
        screen = os.dup(2)
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
    except OSError:
        return
    sys.stderr = Screen(os.fdopen(screen, "wb", buffering=0), encoding="utf-8", errors="backslashreplace", write_through=True)
    faulthandler.enable(file=sys.stderr)
