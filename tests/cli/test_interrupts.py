"""Stopped at any point, a run leaves a whole bundle or none, and the next run works."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = 10

SERVER = """
import json, os, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from sdk.cli.main import main, run

stop, points = getattr(signal, sys.argv[1]), int(sys.argv[2])

def child(args):
    ready, begun = os.pipe()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        sys.argv = ["sdk", *args]
        os.write(begun, b".")  # a signal before the command begins is none of its own
        try:
            main()
        except SystemExit as done:
            os._exit(done.code or 0)
        os._exit(99)
    os.close(begun)
    os.read(ready, 1)
    os.close(ready)
    return pid

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

package = ["package", "--out", "made/net"]
assert run([*package[:-1], "warm"]) == 0  # imports and first use, so that the points fall into the work itself
started = time.monotonic()
assert wait(child(package)) == 0
seconds = time.monotonic() - started
found = []
for point in range(points):
    if point % 2:
        import shutil
        shutil.rmtree("made", ignore_errors=True)
    for _ in range(6):
        pid = child(package)
        time.sleep(seconds * (point + 0.5) / points)
        os.kill(pid, stop)
        code = wait(pid)
        if code:
            break
        seconds *= 0.7  # it was done before the signal: the machine is faster than when it was timed
    whole = wait(child(["verify", "made/net"])) if Path("made/net").exists() else None
    visible = sorted(p.name for p in Path("made").iterdir() if p.name[0] != ".") if Path("made").exists() else []
    hidden = sorted(p.name for p in Path("made").iterdir() if p.name[0] == ".") if Path("made").exists() else []
    found.append({"code": code, "verified": whole, "visible": visible, "hidden": hidden})
last = wait(child(package)), wait(child(["verify", "made/net"])), sorted(p.name for p in Path("made").iterdir())
print(json.dumps({"found": found, "last": last}))
"""


@pytest.mark.parametrize(("stop", "code"), [("SIGINT", 130), ("SIGKILL", -9), ("SIGTERM", 143)])
def test_the_bundle_is_whole_or_absent_and_the_next_run_works(app: Path, stop: str, code: int) -> None:
    points = POINTS if stop != "SIGTERM" else 3
    command = [sys.executable, "-W", "ignore", "-c", SERVER, stop, str(points)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for found in result["found"]:
        assert found["code"] in (code, 0), found
        assert found["verified"] in (None, 0), found
        assert found["visible"] in ([], ["net"]), found
        if stop != "SIGKILL":
            assert not found["hidden"], found
    assert any(found["code"] == code for found in result["found"])
    assert result["last"] == [0, 0, ["net"]]


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (None, 1)])
def test_a_stop_that_a_library_turns_into_an_error_of_its_own_is_a_stop(
    raised: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = importlib.import_module("sdk.cli.main")

    def fail(**_: object) -> None:
        if raised is not None:
            with pytest.raises(KeyboardInterrupt):
                main._stop(raised)
        raise RecursionError("in the middle")

    monkeypatch.setattr(main.cli, "main", fail)
    assert main.run(["plan"]) == code
