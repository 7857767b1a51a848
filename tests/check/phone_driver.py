"""Plays faults on a real adbd, inside the namespace that phone.py made; prints what each check ended with as JSON."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sdk.bundles import open_bundle
from sdk.check import CheckRequest, check_bundle, checking, protocols
from sdk.check.runners import remote
from sdk.check.runners.catalogue import find_runner
from sdk.check.runners.runner import Job
from sdk.check.runners.timer import Batch
from sdk.errors import SdkError
from sdk.probing import ProbeRequest, probe_device
from sdk.progress import SilentReporter

ADBD = "/usr/lib/android-sdk/platform-tools/adbd"
SERIAL, PORT = "127.0.0.1:5555", "5099"
CABLE = (Path(__file__).parent / "relay.py", "5555", "5556")
"""The relay from the port of `SERIAL` to that of adbd."""


class Phone:
    """The adbd in `root`, its cable (a relay), and the adb server that knows it."""

    def __init__(self, root: Path) -> None:
        self.place = root / "data/local/tmp"
        self._root = root
        self.adbd = self._start()
        self.cable = self._plug()
        self.adb("start-server")
        self.connect()

    def _start(self) -> subprocess.Popen[bytes]:
        libraries = next(self._root.glob("usr/lib/*/android")).relative_to(self._root)
        environment = {"ADBD_PORT": CABLE[2], "LD_LIBRARY_PATH": f"/{libraries}", "PATH": "/usr/sbin:/usr/bin:/bin"}
        environment |= {name: os.environ[name] for name in ("QEMU_CPU",) if name in os.environ}
        return subprocess.Popen(["/usr/sbin/chroot", self._root, ADBD], env=environment, stderr=subprocess.DEVNULL)

    def _plug(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *CABLE])

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
        if self.cable.poll() is not None:
            self.cable = self._plug()
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


def pull_the_cable(phone: Phone) -> None:
    phone.cable.kill()
    phone.cable.wait()


def corrupt_push(phone: Phone) -> None:
    """Change the program's last byte once the next file arrives: before everything is compared."""
    folder = phone.place / "snugfit-check"
    wait_for(lambda: (folder / "model.null").is_file(), 0.001)
    with (folder / "runner").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"#")


def freeze_adbd(phone: Phone) -> None:
    phone.adbd.send_signal(signal.SIGSTOP)
    threading.Timer(9, phone.adbd.send_signal, (signal.SIGCONT,)).start()


FAULTS: dict[str, Callable[[Phone], object] | None] = {
    "nothing": None,
    "hang": None,
    "full": None,
    "kill the runner": kill_runner,
    "kill the relay": pull_the_cable,
    "kill adbd": kill_adbd,
    "freeze adbd": freeze_adbd,
    "kill the server": lambda phone: phone.adb("kill-server"),
    "disconnect": lambda phone: phone.adb("disconnect", SERIAL),
    "corrupt push": corrupt_push,
    "second client": None,
}


def play(name: str, phone: Phone, bundle: Path, programs: dict[str, Path]) -> dict[str, object]:
    act = FAULTS[name]
    program = programs["quick" if name in ("nothing", "full") else "slow"]
    request = CheckRequest(bundle, on=f"adb:{SERIAL}", program=program, deadline=60.0 if name in ("nothing", "full") else 4.0)
    if name == "full":
        (phone.place / "ballast").write_bytes(bytes(60_000_000))
    when = act if act is corrupt_push else functools.partial(when_it_runs, act=act)
    threads = [threading.Thread(target=when, args=(phone,))] if act else []
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


def wait_for(what: Callable[[], bool], step: float = 0.02) -> None:
    end = time.monotonic() + 60
    while not what() and time.monotonic() < end:
        time.sleep(step)


def attempt(request: CheckRequest) -> dict[str, object]:
    try:
        result = check_bundle(request, SilentReporter())
        return {"error": "", "exit_code": 0, "origin": result.origin, "relative_error": result.relative_error.value}
    except SdkError as error:
        return {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}


def check(phone: Phone, bundle: str, runs: int) -> dict[str, object]:
    """Check a LiteRT bundle with the C runner and a latency budget that any device would keep."""
    request = CheckRequest(Path(bundle), on=f"adb:{SERIAL}", deadline=200.0, max_latency=100_000.0)
    protocols.PROTOCOLS["quick"] = replace(protocols.PROTOCOLS["quick"], warmup=1, runs=runs, repeats=1)
    result = check_bundle(request, SilentReporter())
    return {
        "origins": sorted({result.origin, *(budget.measured.origin for budget in result.budgets)}),
        "relative_error": result.relative_error.value, "peak": result.peak_memory.value, "runtime": result.runner.runtime,
        "verdicts": {budget.name: budget.verdict for budget in result.budgets}, "exit_code": result.exit_code,
        "limit": result.budgets[0].limit, "abi": result.device.abi, "clean": phone.clean(),
    }  # fmt: skip


def against_itself(phone: Phone, bundle: str) -> dict[str, object]:
    """Compare a bundle with itself, both run in turns by the C runner."""
    result = check_bundle(CheckRequest(Path(bundle), on=f"adb:{SERIAL}", deadline=200.0, baseline=Path(bundle)), SilentReporter())
    assert result.baseline is not None
    return {
        "turns": [len(each.own_ns) for each in (*result.repeats, *result.baseline.repeats)], "clean": phone.clean(),
        "verdicts": {budget.name: budget.verdict for budget in result.budgets},
    }  # fmt: skip


def probe(phone: Phone, bundle: str) -> dict[str, object]:
    """Draft a profile of the phone, and time a bundle's artifact twice over in a batch, by the C runner."""
    on, artifact = f"adb:{SERIAL}", open_bundle(Path(bundle)).artifact
    said = tuple(f"{each.dtype}:{'x'.join(map(str, each.shape))}" for each in open_bundle(Path(bundle)).manifest.model.inputs)
    drafted = probe_device(ProbeRequest(on), SilentReporter())
    runner, address = find_runner(on)
    with runner.open(address, Job(artifact, "tflite", (), ()), 300) as session:
        told = session.time(Batch((artifact, artifact), (said, said), rounds=3, runs=5, seconds=0.02, deadline=100))
    return {
        "cores": sum(cluster.count.value for cluster in drafted.soc.clusters), "kernels": sorted(drafted.kernels),
        "runtime": told.runtime, "medians": [each.medians for each in told.each], "p90s": [each.p90s for each in told.each],
        "clean": phone.clean(),
    }  # fmt: skip


def sockets() -> list[str]:
    """Kinds of every socket that any process of this namespace holds, such as `TCP`."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link).startswith("socket:"):
                found.add(os.getxattr(link, "system.sockprotoname").rstrip(b"\0").decode())
        except OSError:
            continue  # closed meanwhile
    return sorted(found)


def main(root: str, job: str) -> None:
    """Play what the JSON file `job` says: `faults` with `bundle` and `programs`, `litert` bundles, a `probe` with turns."""
    os.environ["ANDROID_ADB_SERVER_PORT"] = PORT
    wanted = json.loads(Path(job).read_text())
    phone = Phone(Path(root))
    found: dict[str, object] = {"sockets": sockets()}
    programs = {name: Path(path) for name, path in wanted["programs"].items()}
    grace, setup = remote.GRACE, checking.SETUP
    remote.GRACE, checking.SETUP = 2.0, 6.0  # a phone that is lost removes everything after SETUP and a deadline
    protocols.PROTOCOLS["quick"] = replace(protocols.PROTOCOLS["quick"], repeats=1)
    for name in wanted["faults"]:
        found[name] = play(name, phone, Path(wanted["bundle"]), programs)
    remote.GRACE, checking.SETUP = grace, setup
    for name, path in wanted["litert"].items():
        found[name] = check(phone, path, wanted["runs"])
    if "probe" in wanted:
        found["turns"] = against_itself(phone, wanted["probe"])
        found["probe"] = probe(phone, wanted["probe"])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
