"""What a runtime refuses is told as an error of the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sdk
from sdk.errors import CheckFailed

pytestmark = pytest.mark.usefixtures("quiet", "app")


class _Refusing:
    runtime = "Runtime 1.0"

    def run(self, arrays: list[Any]) -> list[Any]:
        raise RuntimeError("Embedding Lookup: index out of bounds\nNode number 3")


def test_the_runtime_s_own_error_becomes_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = sdk.package("model.py:net", device="host", target="null", calibration="model.py:samples", out=tmp_path / "made")
    inputs = bundle.reference[0]
    assert bundle.run(*inputs)
    monkeypatch.setattr(bundle, "_executable", _Refusing())
    with pytest.raises(CheckFailed, match=r"Runtime 1\.0 refuses these inputs: Embedding Lookup: index out of bounds$"):
        bundle.run(*inputs)
