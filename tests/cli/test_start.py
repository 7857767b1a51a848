"""Starting is quick: help and device lists load nothing heavy, and mistakes are found before it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch", "torchao", "executorch", "coremltools", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "scipy",
    "transformers", "numpy", "safetensors", "rich",
)  # fmt: skip

PROBE = """
import sys
from sdk.cli.main import run
code = run(sys.argv[1:])
import json
print("LOADED " + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def probe(*args: str, cwd: str | None = None) -> tuple[int, set[str]]:
    done = subprocess.run([sys.executable, "-c", PROBE, *args], capture_output=True, text=True, check=True, cwd=cwd)
    code, modules = json.loads(done.stdout.rpartition("LOADED ")[2])
    return code, set(modules)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--help"], 0),
        (["package", "--help"], 0),
        (["--version"], 0),
        (["devices", "list"], 0),
        (["devices", "show", "Pixel 8"], 0),
        (["targets"], 0),
        (["targets", "null"], 0),
        (["package", "model.py:net", "--device", "pixle8"], 2),
        (["package", "model.py:net", "--device", "pixel8", "--target", "execturch"], 2),
        (["package", "model.py:net", "--device", "pixel8", "--max-size", "4M"], 2),
        (["package", "model.py:net", "--device", "pixel8", "--uniform", "q5"], 2),
        (["package", "--devise", "pixel8"], 2),
        (["verify", "nothing"], 2),
        (["diff", "a.yaml", "b.yaml"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_heavy_is_loaded(args: list[str], code: int) -> None:
    found, modules = probe(*args)
    assert found == code
    assert not modules & set(HEAVY)


def test_importing_the_api_loads_nothing() -> None:
    code = "import sys, sdk; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(eval(done.stdout)) & {*HEAVY, "pydantic", "click", "yaml"}
