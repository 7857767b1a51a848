"""The runner `adb[:SERIAL]`: a phone that an adb server knows, with a small C program or one of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdk.check.runners.adb_link import AdbLink, find_phone
from sdk.check.runners.device_program import device_program, users_program
from sdk.check.runners.remote import RemoteSession, hold, read_facts
from sdk.check.runners.runner import Job
from sdk.errors import BadInput


class AdbRunner:
    """Opens a session on a phone."""

    name = "adb"
    beyond_cpu = False

    @contextmanager
    def open(self, address: str, job: Job, deadline: float) -> Iterator[RemoteSession]:
        """Hold the phone and push the artifact with a program; Missing where there is no phone or no adb server."""
        if job.program is None and job.target != "tflite":
            raise BadInput(
                f"--on adb brings a program for tflite bundles only: for {job.target}, name one of your own with --runner "
                "(docs/check.md states what it has to do)"
            )
        link = AdbLink(find_phone(address))
        facts = read_facts(link)
        program = users_program(Path(job.program)) if job.program else device_program(facts.device.abi)
        with hold(link, facts, job, program, deadline) as session:
            yield session


RUNNER = AdbRunner()
