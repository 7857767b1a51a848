"""A board for tests: sshd on a free port of the loopback, with keys and a temporary directory of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WHY = "no sshd on this machine: install openssh-server"


class Board:
    """Runs until `stop`; `config` is the file for ssh, where it is called `board`.

    Its home is not the user's, whose shell may put another Python first.
    """

    def __init__(self, folder: Path) -> None:
        assert SSHD is not None
        self.sandbox = folder / "sandbox"
        self.sandbox.mkdir(parents=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        (folder / "sshd.conf").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv HOME={folder} TMPDIR={self.sandbox} PATH={tools} OMP_NUM_THREADS=1\n"
        )
        self.config = folder / "ssh.conf"
        self.config.write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking accept-new\n"
        )
        self._daemon = subprocess.Popen(
            [SSHD, "-D", "-f", folder / "sshd.conf", "-E", folder / "sshd.log"], start_new_session=True
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def stop(self) -> None:
        """End sshd; nothing listens afterwards."""
        self._daemon.kill()
        self._daemon.wait()
