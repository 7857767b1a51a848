"""Which program measures on a device: the C runner for its ABI, or one that the user brings."""

from __future__ import annotations

from pathlib import Path

from sdk.check.programs.build import ABIS, read_program
from sdk.check.runners.remote import Program
from sdk.errors import BadInput, DeviceUnfit


def device_program(abi: str) -> Program:
    """The C runner for LiteRT, started by the C library's loader that comes with it.

    DeviceUnfit where there is none for this ABI, Missing where it is not built yet.
    """
    if abi not in ABIS:
        raise DeviceUnfit(f"the device runs {abi or 'an unknown ABI'}: there is a runner for {' and '.join(ABIS)} only")
    found = read_program(ABIS[abi])
    command = f"./{ABIS[abi].loader} --library-path . ./runner"
    return Program("litert_runner", found, command, "runner", profiler=command)


def users_program(path: Path) -> Program:
    """The runner that a user brings, which keeps the contract of docs/check.md; BadInput when there is no such file."""
    if not path.is_file():
        raise BadInput(f"--runner {path}: there is no such file")
    return Program(path.name, {"runner": path}, "./runner", "runner")
