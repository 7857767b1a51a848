"""How a phone or board is reached: the Link protocol that adb and ssh keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """Exit code, output and errors of a command on the device."""

    code: int
    output: str
    errors: str = ""


class Link(Protocol):
    """A way to one device. Each call ends within `deadline` seconds, whatever the device does."""

    id: str
    """What the device is called: serial or host."""
    phone: bool
    """Whether it is reached as a phone."""

    def shell(self, script: str, deadline: float) -> Answer:
        """Run a script of sh; DeviceLost when the device goes away or does not answer in time."""
        ...

    def push(self, local: Path, remote: str, deadline: float) -> None:
        """Copy a file there, executable; DeviceLost as above, DeviceUnfit when it cannot be written."""
        ...

    def pull(self, remote: str, local: Path, deadline: float) -> None:
        """Copy a file here; DeviceLost as above, RunnerFailed when there is none."""
        ...
