"""The planning room needs no torch and no toolchain."""

import subprocess
import sys

CODE = """
import sys, sdk.planning
heavy = {"torch", "torchao", "numpy", "scipy", "coremltools", "executorch", "ai_edge_litert", "transformers"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_planner_loads_nothing_heavy():
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
