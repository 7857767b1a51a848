"""Reaches a phone through an adb server, with a total deadline on every call, and never starts a server unasked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sdk.check.runners.link import Answer
from sdk.errors import DeviceLost, DeviceUnfit, Missing, RunnerFailed

SHORT = 15.0
"""Seconds for a question to the server."""
_Result = TypeVar("_Result")
_MENDS = {
    "offline": "connect it again (adb disconnect, adb connect, or the cable)",
    "unauthorized": "allow this computer on its screen",
    "recovery": "start its system",
    "bootloader": "start its system",
    "sideload": "start its system",
}


def find_phone(serial: str) -> str:
    """Return the serial of the phone: the one that is named, or the only one.

    Missing when there is no server, no phone or several; DeviceUnfit when it is offline or unauthorized.
    """
    known = _known()
    if not known:
        raise Missing("adb knows no device: connect a phone with USB debugging, or adb connect HOST:PORT")
    if not serial and len(known) > 1:
        raise Missing(f"adb knows {len(known)} devices: name one with --on adb:SERIAL ({', '.join(sorted(known))})")
    serial = serial or next(iter(known))
    if serial not in known:
        raise Missing(f"adb knows no device {serial}: there is {', '.join(sorted(known))}")
    if known[serial] != "device":
        raise DeviceUnfit(f"{serial} is {known[serial]}: {_MENDS.get(known[serial], 'connect it again')}")
    return serial


def _known() -> dict[str, str]:
    """Serial → state of every device of the server."""
    with _total(SHORT, "the adb server") as client:
        from adbutils import AdbError

        try:
            return {device.serial: device.state for device in client.list()}
        except AdbError as error:
            raise EOFError(str(error)) from None


class AdbLink:
    """One phone."""

    phone = True

    def __init__(self, serial: str) -> None:
        self.id = serial

    def shell(self, script: str, deadline: float) -> Answer:
        """Run a script of sh."""
        found = self._call(deadline, lambda device: device.shell2(script, timeout=deadline, v2=True))
        return Answer(int(found.returncode), str(found.stdout or ""), str(found.stderr or ""))

    def push(self, local: Path, remote: str, deadline: float) -> None:
        """Copy a file there, executable."""
        from adbutils import AdbError

        try:
            self._call(deadline, lambda device: device.sync.push(local, remote, mode=0o700), refused=AdbError)
        except AdbError as error:
            raise DeviceUnfit(f"{self.id}: {local.name} cannot be written there ({error}): is there space?") from None

    def pull(self, remote: str, local: Path, deadline: float) -> None:
        """Copy a file here."""
        from adbutils import AdbError

        try:
            data = self._call(deadline, lambda device: b"".join(device.sync.iter_content(remote)), refused=AdbError)
        except AdbError:
            raise RunnerFailed(f"{self.id}: the runner left no {local.name}") from None
        local.write_bytes(data)

    def _call(self, deadline: float, ask: Callable[[Any], _Result], refused: type[Exception] | None = None) -> _Result:
        """Ask the phone; an AdbError passes where `refused` is given and the phone is still there."""
        from adbutils import AdbError

        try:
            with _total(deadline, self.id) as client:
                return ask(client.device(self.id))
        except AdbError as error:
            if refused is not None and not _cut(error) and self._there():
                raise
            raise DeviceLost(f"{self.id} went away: {error}") from None

    def _there(self) -> bool:
        with suppress(Missing, Exception):
            return find_phone(self.id) == self.id
        return False


def _cut(error: Exception) -> bool:
    """Whether an AdbError is how adbutils reads the end of a connection, and no answer of the phone's."""
    said = str(error.args[0]) if error.args else ""
    return said in ("", "Invalid sync cmd", "read chunk missing", "connection closed") or said.startswith("Unknown data")


@contextmanager
def _total(deadline: float, what: str) -> Iterator[Any]:
    """A client all of whose connections are cut when `deadline` seconds are over; what they raise becomes DeviceLost."""
    from adbutils import AdbTimeout

    client = _client()
    timer = threading.Timer(deadline, client.cut)
    timer.start()
    try:
        yield client
    except (EOFError, OSError, AdbTimeout, ValueError, AssertionError, IndexError) as error:
        if client.was_cut or isinstance(error, AdbTimeout | TimeoutError):
            raise DeviceLost(f"{what} did not answer within {deadline:.0f} seconds: is it hanging or far away?") from None
        raise DeviceLost(f"{what} went away in the middle ({type(error).__name__}): connect it again") from None
    except Exception:
        if client.was_cut:
            raise DeviceLost(f"{what} did not answer within {deadline:.0f} seconds: is it hanging or far away?") from None
        raise
    finally:
        timer.cancel()
        client.cut()
        timer.join()


def _client() -> Any:
    try:
        from adbutils import AdbClient, AdbConnection
    except ImportError:
        raise Missing("adbutils is not installed: pip install 'snugfit[adb]'") from None

    class Client(AdbClient):  # type: ignore[misc]
        """Remembers its connections, and starts no server: adbutils would, on the default port whatever was asked."""

        def __init__(self) -> None:
            super().__init__()
            self._open: list[Any] = []
            self._lock = threading.Lock()
            self.was_cut = False

        def make_connection(self, timeout: float | None = None) -> Any:
            """Connect to the server; Missing when there is none."""
            try:
                socket.create_connection((self.host, self.port), 3).close()
            except OSError:
                raise Missing(f"no adb server answers at {self.host}:{self.port}: run adb start-server") from None
            made = AdbConnection(self.host, self.port)
            with self._lock:
                self._open.append(made)
                cut = self.was_cut
            if cut:
                self.cut()
            return made

        def cut(self) -> None:
            """Shut every connection down, which ends what waits on it."""
            with self._lock:
                self.was_cut = True
                opened, self._open = self._open, []
            for each in opened:
                with suppress(Exception):
                    each.conn.shutdown(socket.SHUT_RDWR)
                with suppress(Exception):
                    each.conn.close()

    return Client()
