"""A device with a GPU that the null target reaches, and an NPU that nothing reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

PROFILE = """\
schema: 1
name: toy
title: Toy
vendor: toys
os: {name: linux}
soc: {name: {value: Toy, source: toys.org/toy}}
accelerators:
  - kind: cpu
    targets:
      "null": {value: [fp32, int8, int8_dynamic], source: toys.org/cpu}
  - kind: gpu
    targets:
      "null": {value: [fp32, fp16], source: toys.org/gpu}
  - kind: npu
    note: >-
      The toy NPU has no public path. Nothing runs on it.
targets: ["null"]
"""


@pytest.fixture
def toy(app: Path) -> str:
    """The profile's file, beside the small app."""
    (app / "toy.yaml").write_text(PROFILE)
    return "toy.yaml"
