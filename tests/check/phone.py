"""Runs a command beside a root for adbd that nothing outside can reach: the caller's namespaces are this one's alone.

    unshare --user --map-root-user --net --mount --pid --fork --kill-child python3 phone.py ROOT QEMU COMMAND…

The only network is a loopback of its own, and no process below can open a vsock, which network namespaces do not divide:
Debian's adbd listens on one. QEMU (or `-`) is what runs arm64 programs, here alone: the kernel keeps its list of
interpreters per user namespace (Linux 6.7). When this process ends, the kernel ends everything that it started.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
import struct
import subprocess
import sys
from pathlib import Path

FORMATS = Path("/proc/sys/fs/binfmt_misc")
ARM64 = (
    rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
)
"""How an arm64 program starts, and which of those bits count."""
SYSTEMS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Machine → its number in seccomp (AUDIT_ARCH_*), and that of its system call `socket`."""
VSOCK, NOT_SUPPORTED = 40, 97


def loopback() -> None:
    """Bring up the loopback of this network namespace: the only network there is."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def emulate(qemu: str) -> None:
    """Let the kernel run arm64 programs with `qemu`, opened now so that a changed root does not matter (flag F)."""
    mount("-t", "binfmt_misc", "none", FORMATS)
    start, mask = ARM64
    (FORMATS / "register").write_bytes(b":arm64:M::" + start + b":" + mask + b":" + qemu.encode() + b":F")
    os.environ["QEMU_CPU"] = "cortex-a76"  # `max`, qemu's own choice, has computed NaN


def phone(root: Path) -> None:
    """Mount what a phone's root needs, with storage of 64 MB."""
    place = root / "data/local/tmp"
    place.mkdir(parents=True, exist_ok=True)
    mount("-t", "proc", "proc", root / "proc")
    for name in ("sys", "dev"):
        mount("--rbind", f"/{name}", root / name)
    mount("-t", "tmpfs", "-o", "size=64m", "none", place)


def no_vsock() -> None:
    """Refuse `socket(AF_VSOCK, …)` to this process and all that it starts, by a seccomp filter that nothing can lift."""
    machine, call = SYSTEMS[platform.machine()]
    steps = [
        (0x20, 0, 0, 4),  # load the machine
        (0x15, 1, 0, machine),  # another one's calls have other numbers …
        (0x06, 0, 0, 0x80000000),  # … so it is killed
        (0x20, 0, 0, 0),  # load the call's number
        (0x15, 0, 3, call),
        (0x20, 0, 0, 16),  # load its first argument
        (0x15, 0, 1, VSOCK),
        (0x06, 0, 0, 0x00050000 | NOT_SUPPORTED),  # fail with EAFNOSUPPORT
        (0x06, 0, 0, 0x7FFF0000),  # allow
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_char_p(program), 0, 0):  # NO_NEW_PRIVS, SECCOMP with a filter
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def main(root: str, qemu: str, *command: str) -> None:
    """Set everything up and become the command."""
    loopback()
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    if qemu != "-":
        emulate(qemu)
    phone(Path(root))
    no_vsock()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
