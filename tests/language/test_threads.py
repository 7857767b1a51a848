"""A process that only executes keeps the libraries around the runtime from taking its cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdk

pytest.importorskip("executorch")
pytestmark = pytest.mark.slow

TOLD = """
import sys, threading
from sdk.cli.main import run
code = run(["generate", sys.argv[1], "are you going", "--max-tokens", "4", "--json"])
import os, torch
print(code, os.environ.get("OMP_NUM_THREADS"), torch.get_num_threads())
"""


@pytest.mark.parametrize(("given", "kept"), [(None, "1"), ("2", "2")])
def test_generate_keeps_torch_to_one_thread_unless_the_user_says_otherwise(
    llama: Path, tmp_path: Path, given: str | None, kept: str
) -> None:
    bundle = sdk.package(str(llama), device="pixel8", target="executorch", uniform="q8", context=200, out=tmp_path / "out")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment.update({} if given is None else {"OMP_NUM_THREADS": given})
    done = subprocess.run(
        [sys.executable, "-c", TOLD, str(bundle.path)], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == f"0 {kept} {kept}"
