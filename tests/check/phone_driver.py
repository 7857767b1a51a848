"""Plays faults on a real adbd, inside the namespace that phone.sh made; prints what each check ended with as JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sdk.check import CheckRequest, check_bundle, checking
from sdk.check.runners import remote
from sdk.errors import SdkError
from sdk.progress import SilentReporter

ADBD = "/usr/lib/android-sdk/platform-tools/adbd"
SERIAL, PORT = "127.0.0.1:5555", "5099"


class Phone:
    """The adbd in `root` and the adb server that knows it."""

    def __init__(self, root: Path) -> None:
        self.place = root / "data/local/tmp"
        self._root = root
        self.adbd = self._start()
        self.adb("start-server")
        self.connect()

    def _start(self) -> subprocess.Popen[bytes]:
        libraries = next(self._root.glob("usr/lib/*/android")).relative_to(self._root)
        environment = {"ADBD_PORT": "5555", "LD_LIBRARY_PATH": f"/{libraries}", "PATH": "/usr/sbin:/usr/bin:/bin"}
        return subprocess.Popen(["/usr/sbin/chroot", self._root, ADBD], env=environment, stderr=subprocess.DEVNULL)

    def adb(self, *words: str) -> str:
        return subprocess.run(["adb", "-P", PORT, *words], capture_output=True, text=True, timeout=60, check=False).stdout

    def connect(self) -> None:
        end = time.monotonic() + 60
        while f"{SERIAL}\tdevice" not in self.adb("devices") and time.monotonic() < end:
            self.adb("disconnect", SERIAL)
            self.adb("connect", SERIAL)
            time.sleep(0.3)

    def restore(self) -> None:
        if self.adbd.poll() is not None:
            self.adbd = self._start()
        self.adb("start-server")
        self.connect()

    def program(self) -> int | None:
        try:
            return int((self.place / "snugfit-check/program.pid").read_text())
        except (OSError, ValueError):
            return None

    def clean(self) -> bool:
        end = time.monotonic() + 60
        while list(self.place.iterdir()) and time.monotonic() < end:
            time.sleep(0.1)
        return not list(self.place.iterdir())


def kill_runner(phone: Phone) -> None:
    """Kill the program once it has a child of its own, which lives on with the program's output open."""
    program = phone.program() or 0
    wait_for(lambda: bool(Path(f"/proc/{program}/task/{program}/children").read_text()))
    os.kill(program, signal.SIGKILL)


def kill_adbd(phone: Phone) -> None:
    phone.adbd.kill()
    phone.adbd.wait()


def freeze_adbd(phone: Phone) -> None:
    phone.adbd.send_signal(signal.SIGSTOP)
    threading.Timer(15, phone.adbd.send_signal, (signal.SIGCONT,)).start()


FAULTS: dict[str, Callable[[Phone], object] | None] = {
    "nothing": None,
    "hang": None,
    "full": None,
    "kill the runner": kill_runner,
    "kill adbd": kill_adbd,
    "freeze adbd": freeze_adbd,
    "kill the server": lambda phone: phone.adb("kill-server"),
    "disconnect": lambda phone: phone.adb("disconnect", SERIAL),
    "second client": None,
}


def play(name: str, phone: Phone, bundle: Path, programs: dict[str, Path]) -> dict[str, object]:
    act = FAULTS[name]
    program = programs["quick" if name in ("nothing", "full") else "slow"]
    request = CheckRequest(bundle, on=f"adb:{SERIAL}", program=program, deadline=60.0 if name in ("nothing", "full") else 8.0)
    if name == "full":
        (phone.place / "ballast").write_bytes(bytes(60_000_000))
    threads = [threading.Thread(target=when_it_runs, args=(phone, act))] if act else []
    if name == "second client":
        threads = [threading.Thread(target=attempt, args=(request,))]
    for thread in threads:
        thread.start()
    if name == "second client":
        wait_for(lambda: phone.program() is not None)
    started = time.monotonic()
    found = attempt(request) | {"seconds": time.monotonic() - started}
    for thread in threads:
        thread.join()
    (phone.place / "ballast").unlink(missing_ok=True)
    phone.restore()
    return found | {"clean": phone.clean()}


def when_it_runs(phone: Phone, act: Callable[[Phone], object]) -> None:
    wait_for(lambda: phone.program() is not None)
    act(phone)


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what() and time.monotonic() < end:
        time.sleep(0.02)


def attempt(request: CheckRequest) -> dict[str, object]:
    try:
        result = check_bundle(request, SilentReporter())
        return {"error": "", "exit_code": 0, "origin": result.origin, "relative_error": result.relative_error.value}
    except SdkError as error:
        return {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}


def main(root: str, bundle: str, quick: str, slow: str, litert: str) -> None:
    """Play every fault, then check the LiteRT bundle with the C runner."""
    os.environ["ANDROID_ADB_SERVER_PORT"] = PORT
    remote.GRACE, checking.SETUP = 2.0, 10.0
    phone = Phone(Path(root))
    found = {name: play(name, phone, Path(bundle), {"quick": Path(quick), "slow": Path(slow)}) for name in FAULTS}
    if litert:
        checking.SETUP = 300.0
        result = check_bundle(CheckRequest(Path(litert), on=f"adb:{SERIAL}", deadline=200.0), SilentReporter())
        found["litert"] = {
            "origin": result.origin, "relative_error": result.relative_error.value, "peak": result.peak_memory.value,
            "runtime": result.runner.runtime, "verdict": result.verdict, "clean": phone.clean(),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
