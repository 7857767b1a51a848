"""An adb server and one phone, in this process: the protocol is real, the phone's shell is this machine's in a sandbox.

A fault is a mapping from stage to action. Stages: `devices`, `transport`, `push`, `pull`, and the scripts of a check:
`facts`, `hold`, `environment`, `hashes`, `run`, `release`. Actions: `close`, `hang`, `garbage`, `drip`, `fail`, `corrupt`,
`short`, `kill server`, `vanish` (close, and no device from then on), or a bytes object that is answered. A pair of a
number and an action acts at that time only that the stage is reached, from 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SERIAL = "FAKE0001"
_SCRIPTS = {
    "wait $P\nC=$?": "run", "uname -m": "facts", "hold()": "hold", "echo released": "release",
    "sha256sum": "hashes", "scaling_governor": "environment",
}  # fmt: skip


class FakeAdb:
    """Listens on a free port of the loopback until `stop`."""

    def __init__(self, sandbox: Path, devices: Mapping[str, str], faults: Mapping[str, object]) -> None:
        self.sandbox, self.devices, self.faults = sandbox, dict(devices), dict(faults)
        self.seen: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def stop(self) -> None:
        """Close everything and end every process that a script left."""
        self._over.set()
        self._close()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for thread in self._threads:
            thread.join(5)
        self._close()

    def alive(self) -> list[str]:
        """Command lines of processes that scripts started and that still live: they know the sandbox."""
        found, mark = [], f"TMPDIR={self.sandbox}\0".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return [line for line in found if line]

    def _close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _start(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            while not self._over.is_set():
                self._answer(connection, _exactly(connection, int(_exactly(connection, 4), 16)).decode())
        except (OSError, EOFError, ValueError):
            pass
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, asked: str) -> None:
        if asked == "host:version":
            connection.sendall(b"OKAY00040029")
        elif asked == "host:devices":
            self._fault(connection, "devices")
            text = "".join(f"{serial}\t{state}\n" for serial, state in self.devices.items()).encode()
            connection.sendall(b"OKAY%04x" % len(text) + text)
        elif asked.endswith(":features"):
            connection.sendall(b"OKAY0008shell_v2")
        elif asked.startswith("host:tport:serial:"):
            self._fault(connection, "transport")
            if self.devices.get(asked.removeprefix("host:tport:serial:")) != "device":
                connection.sendall(b"FAIL0010device not found")
                raise EOFError
            connection.sendall(b"OKAY" + struct.pack("<Q", 1))
        elif asked.startswith("shell,v2:"):
            connection.sendall(b"OKAY")
            self._shell(connection, asked.removeprefix("shell,v2:"))
            raise EOFError
        elif asked == "sync:":
            connection.sendall(b"OKAY")
            self._sync(connection)
            raise EOFError

    def _fault(self, connection: socket.socket, stage: str) -> object:
        """Act as the fault says; returns the action where the stage itself has to."""
        self.seen.append(stage)
        action = self.faults.get(stage)
        if isinstance(action, tuple):
            action = action[1] if self.seen.count(stage) == action[0] else None
        if action in ("vanish", "close", "kill server"):
            if action == "vanish":
                self.devices.clear()
            if action == "kill server":
                self._close()
            raise EOFError
        if action == "hang":
            self._over.wait(60)
            raise EOFError
        if action == "garbage":
            connection.sendall(b"\xff" * 64)
            raise EOFError
        return action

    def _shell(self, connection: socket.socket, script: str) -> None:
        stage = next(name for words, name in _SCRIPTS.items() if words in script)
        if isinstance(self.faults.get(stage), bytes):
            script = "exit 0"
        process = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": str(self.faults.get("path", os.environ["PATH"])), "TMPDIR": str(self.sandbox)}, start_new_session=True,
        )  # fmt: skip
        self._processes.append(process)
        action = self._fault(connection, stage)
        if action == "drip":
            while not self._over.is_set():
                connection.sendall(b"\x01" + struct.pack("<I", 1) + b"x")
                time.sleep(0.1)
        output, errors = process.communicate()
        if isinstance(action, bytes):
            output = action
        for kind, data in ((1, output), (2, errors), (3, bytes([process.returncode & 0xFF]))):
            if data:
                connection.sendall(bytes([kind]) + struct.pack("<I", len(data)) + data)

    def _sync(self, connection: socket.socket) -> None:
        command, length = struct.unpack("<4sI", _exactly(connection, 8))
        name = _exactly(connection, length).decode()
        if command == b"STAT":
            connection.sendall(b"STAT" + struct.pack("<III", 0, 0, 0))
        elif command == b"SEND":
            self._receive(connection, Path(name.rpartition(",")[0]))
        elif command == b"RECV":
            self._give(connection, Path(name))

    def _give(self, connection: socket.socket, path: Path) -> None:
        action = self._fault(connection, "pull")
        if action == "fail" or not path.is_file():
            connection.sendall(b"FAIL" + struct.pack("<I", 7) + b"no file")
            return
        data = path.read_bytes()
        data = data[:-1] if action == "short" else data
        connection.sendall(b"DATA" + struct.pack("<I", len(data)) + data + b"DONE" + struct.pack("<I", 0))

    def _receive(self, connection: socket.socket, path: Path) -> None:
        action = self._fault(connection, "push")
        data = b""
        while True:
            word, length = struct.unpack("<4sI", _exactly(connection, 8))
            if word == b"DONE":
                break
            data += _exactly(connection, length)
        if action == "fail":
            connection.sendall(b"FAIL" + struct.pack("<I", 8) + b"no space")
            return
        if action == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes(data[:-1] if action == "short" else data)
        path.chmod(0o700)
        connection.sendall(b"OKAY" + struct.pack("<I", 0))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
