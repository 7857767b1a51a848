"""Runs a program of this machine to its end or its deadline, and leaves no process of its group behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sdk.errors import DeviceLost


def run_process(
    command: Sequence[str], *, given: bytes, deadline: float, what: str, folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, bytes, bytes]:
    """Run `command` with `given` on its input; return exit code, output and errors.

    DeviceLost, which names `what`, when it takes more than `deadline` seconds; its whole group is then killed.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(given, timeout=deadline)
    except subprocess.TimeoutExpired:
        raise DeviceLost(f"{what} did not end within {deadline:.0f} seconds: raise --deadline, or look at the device") from None
    finally:
        _end(process)
    return process.returncode, output, errors


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # also what it started and did not wait for
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            stream.close()
