"""The runner `ssh:HOST`: a board with Python and a runtime, reached by the system's ssh."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from shlex import quote

from sdk.check.runners.device_program import users_program
from sdk.check.runners.link import Answer
from sdk.check.runners.process import run_process
from sdk.check.runners.remote import Program, RemoteSession, hold, read_facts
from sdk.check.runners.runner import Job
from sdk.errors import BadInput, DeviceLost, DeviceUnfit, Missing, RunnerFailed

OPTIONS = (
    "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
)  # fmt: skip
"""Never ask for a password; notice within 15 seconds that the other side is gone."""
TARGETS = ("executorch", "tflite")
SCRIPTS = ("measure.py", "timing.py", "profiling.py")
"""The programs that are pushed: they measure, time a list, and profile."""
NO_CONNECTION = 255
"""What ssh itself ends with when it cannot connect or is cut off; a script of ours never does."""


class SshLink:
    """One host; each call is a connection of its own."""

    phone = False

    def __init__(self, host: str, config: Path | None) -> None:
        self.id = host
        self._command = ["ssh", *OPTIONS, *(("-F", str(config)) if config else ()), "--", host]

    def shell(self, script: str, deadline: float) -> Answer:
        """Run a script of sh."""
        code, output, errors = self._run(f"sh -c {quote(script)}", b"", deadline)
        return Answer(code, output.decode(errors="replace"), errors.decode(errors="replace"))

    def push(self, local: Path, remote: str, deadline: float) -> None:
        """Copy a file there through `cat`, which every board has."""
        target = quote(remote)
        code, _, errors = self._run(f"sh -c {quote(f'cat > {target} && chmod 700 {target}')}", local.read_bytes(), deadline)
        if code:
            raise DeviceUnfit(f"{self.id}: {local.name} cannot be written there: {_last(errors)}")

    def pull(self, remote: str, local: Path, deadline: float) -> None:
        """Copy a file here."""
        code, output, errors = self._run(f"cat {quote(remote)}", b"", deadline)
        if code:
            raise RunnerFailed(f"{self.id}: the runner left no {local.name}: {_last(errors)}")
        local.write_bytes(output)

    def _run(self, command: str, given: bytes, deadline: float) -> tuple[int, bytes, bytes]:
        what = f"a command on {self.id}"
        code, output, errors = run_process([*self._command, command], given=given, deadline=deadline, what=what)
        if code == NO_CONNECTION:
            raise DeviceLost(f"{self.id} cannot be reached by ssh, or went away: {_last(errors)}")
        return code, output, errors


class SshRunner:
    """Opens a session on a host."""

    name = "ssh"
    beyond_cpu = False

    @contextmanager
    def open(self, address: str, job: Job, deadline: float) -> Iterator[RemoteSession]:
        """Hold the host and push the artifact with a small Python program, or with a program of the user's."""
        if not address or address.startswith("-"):
            raise BadInput("--on ssh: name the host: --on ssh:pi, or ssh:user@host")
        if job.ssh_config is not None and not job.ssh_config.is_file():
            raise BadInput(f"--ssh-config {job.ssh_config}: there is no such file")
        if shutil.which("ssh") is None:
            raise Missing("ssh is not installed: install the OpenSSH client")
        link = SshLink(address, job.ssh_config)
        facts = read_facts(link)
        programs = files("sdk.check.programs")
        with ExitStack() as stack:
            scripts = {name: stack.enter_context(as_file(programs / name)) for name in SCRIPTS}
            program = users_program(job.program) if job.program else _python(link, facts.python, job.target, scripts)
            with hold(link, facts, job, program, deadline) as session:
                yield session


def _python(link: SshLink, python: str, target: str, scripts: dict[str, Path]) -> Program:
    if target not in TARGETS:
        raise BadInput(f"--on ssh runs bundles of {' and '.join(TARGETS)}, not of {target}: bring a program with --runner")
    if not python:
        raise DeviceUnfit(f"{link.id} has no python3: install it there, or bring a program with --runner")
    measure, timing, profiling = (f"{quote(python)} {name} {target}" for name in SCRIPTS)
    return Program("sdk.check.programs.measure", scripts, measure, "measure.py", timing, profiling)


def _last(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


RUNNER = SshRunner()
