"""Reads the measured capability table."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

from sdk.lowering import Capability


@cache
def read_table() -> tuple[Capability, ...]:
    """Return the rows of capabilities.yaml, read once: every plan asks for them several times."""
    text = resources.files("targets.tflite").joinpath("capabilities.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)["capabilities"]
    return tuple(Capability(kinds=tuple(row.pop("kinds")), **row) for row in rows)
